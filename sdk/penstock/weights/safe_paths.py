"""Paths that others write, made safe: nothing leads out of the folder that it belongs to."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from penstock.weights.errors import WeightsError

NAME_BYTES_MAX = 255
"""Longest name of a file on the file systems of Linux."""
SYSTEM_FOLDERS = ("bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "proc", "sbin", "sys", "usr")
"""Folders of the operating system, where no weights belong."""


def relative_name(text: str, key: str) -> PurePosixPath:
    """Returns `text` as a path that stays below the folder that it is relative to.

    Raises:
        WeightsError: it is empty or absolute, or has a part "..", a part that is too long, or control characters.
    """
    path = PurePosixPath(text)
    if not path.parts or text.endswith(("/.", "/")):
        raise WeightsError(key, f"must name a file, got {text!r}")
    if path.is_absolute():
        raise WeightsError(key, f"must be relative, got {text!r}")
    if ".." in path.parts:
        raise WeightsError(key, f"must not lead out of its folder with '..', got {text!r}")
    if "\\" in text or any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise WeightsError(key, f"must not hold backslashes or control characters, got {text!r}")
    try:
        lengths = [len(part.encode()) for part in path.parts]
    except UnicodeEncodeError:
        raise WeightsError(key, f"is not valid Unicode: {text!r}") from None
    if max(lengths) > NAME_BYTES_MAX:
        raise WeightsError(key, f"has a part of more than {NAME_BYTES_MAX} bytes: {text[:80]!r}…")
    return path


def inside(folder: Path, name: PurePosixPath, key: str) -> Path:
    """Returns folder/name; raises WeightsError when a symbolic link on the way leads out of `folder`.

    `name` comes from `relative_name`. The last part itself may be a link: it is replaced, not followed.
    """
    base = folder.resolve()
    parent = folder.joinpath(*name.parts[:-1])
    target = parent.resolve()
    if target != base and base not in target.parents:
        raise WeightsError(key, f"{str(name)!r} leads out of {folder} through a symbolic link, to {target}")
    return target / name.name


def mount_path(text: str, key: str) -> Path:
    """Returns the absolute path `text`; raises WeightsError when nothing may be put there."""
    path = PurePosixPath(text)
    if not text.startswith("/") or "\0" in text:
        raise WeightsError(key, f"must be an absolute path, got {text!r}")
    if ".." in path.parts:
        raise WeightsError(key, f"must not hold '..', got {text!r}")
    names = [part for part in path.parts if not part.startswith("/")]
    if not names:
        raise WeightsError(key, "must not be the root of the file system")
    if names[0] in SYSTEM_FOLDERS:
        raise WeightsError(key, f"must not be in a folder of the operating system (/{names[0]}), got {text!r}")
    relative_name("/".join(names), key)
    return Path("/", *names)
