"""Where the Trusses of a chain are written when they are only to be looked at."""

from __future__ import annotations

import os
import re
import stat
import tempfile
from pathlib import Path

from penstock.chains.errors import ChainsUsageError
from penstock.chains.workspace import GENERATED_FOLDER


def dry_run_folder(name: str) -> Path:
    """Returns the folder for a chain, below the system's folder for temporary files; makes it.

    Raises:
        ChainsUsageError: It belongs to another user, or cannot be made.
    """
    root = Path(tempfile.gettempdir(), GENERATED_FOLDER)
    try:
        root.mkdir(mode=0o700, exist_ok=True)
        found = root.lstat()
        # Whoever owns a folder in a place for everybody decides what is read from it.
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise ChainsUsageError(f"{root} belongs to somebody else; set TMPDIR to a folder of your own")
        folder = root / (re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip(".-") or "chain")
        folder.mkdir(exist_ok=True)
    except OSError as exc:
        raise ChainsUsageError(f"cannot make {exc.filename or root}: {exc.strerror}") from None
    return folder
