"""Text that is an interface, compared with what is committed.

To take what the code prints now as the new text, and then to read the difference before committing it:

    PENSTOCK_GOLDEN=rewrite .venv/bin/python -m pytest tests/unit/controller -k golden
    git diff tests/unit/controller/golden
"""

from __future__ import annotations

import os
from pathlib import Path

from penstock_testing.source_tree import ROOT

FOLDER = ROOT / "tests/unit/controller/golden"
VARIABLE = "PENSTOCK_GOLDEN"


def assert_golden(name: str, text: str, folder: Path = FOLDER) -> None:
    """Compares `text` with the file `name`.txt; with PENSTOCK_GOLDEN=rewrite, writes it there instead."""
    path = folder / f"{name}.txt"
    if os.environ.get(VARIABLE) == "rewrite":
        path.write_text(text, encoding="utf-8")
    expected = path.read_text(encoding="utf-8") if path.exists() else ""
    assert text == expected, f"{path.name}: if this is meant, run again with {VARIABLE}=rewrite and read the difference"
