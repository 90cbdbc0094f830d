"""Names of models, deployments and replicas."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from pathlib import Path

from penstock_controller.errors import InvalidRequestError

NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
"""What a model name may be; it is part of paths and host names."""

SMALL_FILE_BYTES = 1024 * 1024
"""Files up to this size count by content, larger ones (weights) by size and time of change: reading them takes
minutes."""

IGNORED_FOLDERS = frozenset({"__pycache__", ".git", ".venv"})

_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
_REPLICA_CHARACTERS = 5


def model_name(text: str) -> str:
    """Turns a name that people gave into one that can stand in a path; empty when nothing of it can."""
    slug = re.sub(r"[^a-z0-9_-]+", "-", text.strip().lower()).strip("-_")
    return slug[:63].rstrip("-_")


def check_name(key: str, value: str) -> None:
    """Raises InvalidRequestError when `value` cannot name a model or an environment; `key` names it for the caller."""
    if not NAME_PATTERN.fullmatch(value):
        raise InvalidRequestError(
            f"{key}: must be 1 to 63 of a-z, 0-9, '-' and '_', starting with a letter or digit, got {value!r}"
        )


def deployment_id(name: str, content_hash: str) -> str:
    return f"{name}-{content_hash[:8]}"


def chainlet_name(chain: str, chainlet: str, *, is_entrypoint: bool) -> str:
    """Returns the name of a chainlet's deployment: that of the chain for the entrypoint, else "CHAIN.CHAINLET"."""
    return chain if is_entrypoint else f"{chain}.{chainlet}"


def new_replica_id(deployment: str) -> str:
    """Returns an id that no other replica has or had."""
    return f"{deployment}-{''.join(secrets.choice(_BASE32) for _ in range(_REPLICA_CHARACTERS))}"


def content_hash(directory: Path) -> str:
    """Returns a hash over the names and contents below `directory`, in hex. Reads files; not for the event loop.

    Raises:
        OSError: Something cannot be read.
    """
    digest = hashlib.sha256()
    for folder, folders, files in os.walk(directory, onerror=_raise):
        folders[:] = sorted(f for f in folders if f not in IGNORED_FOLDERS)
        # A linked folder is not walked into, so it counts by where it leads.
        links = [f for f in folders if (Path(folder) / f).is_symlink()]
        for name in sorted([*files, *links]):
            path = Path(folder) / name
            _add(digest, path, path.relative_to(directory).as_posix())
    return digest.hexdigest()


def _add(digest: hashlib._Hash, path: Path, relative: str) -> None:
    if path.is_symlink():
        content = b"link:" + os.fsencode(os.readlink(path))
    elif not path.is_file():
        # Sockets and pipes have no content.
        content = b"special"
    elif (found := path.stat()).st_size > SMALL_FILE_BYTES:
        content = f"size:{found.st_size} changed:{found.st_mtime_ns}".encode()
    else:
        content = hashlib.sha256(path.read_bytes()).digest()
    # Lengths go in front, so that no two trees can give the same bytes.
    for part in (os.fsencode(relative), content):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)


def _raise(error: OSError) -> None:
    raise error
