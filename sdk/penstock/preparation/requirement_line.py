"""One line of requirements: what it names, and which local file it reads. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

_NAME = re.compile(r"\s*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:\[[^\]]*\])?\s*(.*)", re.DOTALL)
_COMMENT = re.compile(r"(^|\s+)#.*$")
_PATH_OPTIONS = {
    "-r": "-r",
    "--requirement": "-r",
    "-c": "-c",
    "--constraint": "-c",
    "-e": "-e",
    "--editable": "-e",
    "-f": "--find-links",
    "--find-links": "--find-links",
}
_ARCHIVES = (".whl", ".zip", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_PASSWORD = re.compile(r"(://)[^/\s@]+@")


@dataclass(frozen=True, slots=True)
class RequirementLine:
    """A line that asks for something."""

    text: str
    """As it was written, without its comment."""
    resolved: str
    """The same with every local path made absolute: what the installer gets."""
    path: str | None = None
    """The absolute local path that it reads, whose content decides what is installed."""
    name: str = ""
    """The project's normalized name (PEP 503); empty when the line does not tell it."""
    is_option: bool = False

    @property
    def shown(self) -> str:
        """The text for people: without the user and password of an address."""
        return redact(self.text)


def redact(text: str) -> str:
    """Takes users and passwords out of the addresses in `text`."""
    return _PASSWORD.sub(r"\1", text)


def normalize(name: str) -> str:
    """Returns the form of a project's name in which two spellings of it are equal (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_line(text: str, locate: Callable[[str], str]) -> RequirementLine | None:
    """Reads one line; None for an empty one and for a comment.

    Args:
        locate: Makes a local path absolute.
    """
    text = _COMMENT.sub("", text.strip()).strip()
    if not text:
        return None
    if text.startswith("-"):
        return _option(text, locate)
    path, rest = _split_path(text)
    if path:
        absolute = locate(path)
        return RequirementLine(text, absolute + rest, path=absolute, name=_name_of_file(path))
    found = _NAME.match(text)
    name = normalize(found[1]) if found else ""
    if "://" in text:
        name = _name_of_address(text, name)
    return RequirementLine(text, text, name=name)


def logical_lines(text: str) -> list[str]:
    """Splits a requirements file into lines; one that ends in a backslash goes on in the next."""
    return re.sub(r"\\\r?\n\s*", " ", text).splitlines()


def _option(text: str, locate: Callable[[str], str]) -> RequirementLine:
    found = re.match(r"(--?[\w-]+)([\s=]*)(.*)", text, re.DOTALL)
    if found is None:
        # A bare "-", or one without a letter, is the installer's to refuse.
        return RequirementLine(text, text, is_option=True)
    word, separator, value = found.groups()
    if not separator and not text.startswith("--") and len(word) > 2:
        word, value = text[:2], text[2:].strip()
    kind = _PATH_OPTIONS.get(word)
    if kind is None or not value or "://" in value or value.startswith(("git+", "file:")):
        name = _name_of_address(value, "") if kind == "-e" else ""
        return RequirementLine(text, text, name=name, is_option=kind != "-e")
    path, rest = _split_extras(value) if kind == "-e" else (value.strip("\"'"), "")
    absolute = locate(path)
    # A folder of links offers packages, and does not decide which of them are taken.
    read = None if kind == "--find-links" else absolute
    name = _name_of_file(path) if kind == "-e" else ""
    return RequirementLine(text, f"{kind} {absolute}{rest}", path=read, name=name, is_option=kind != "-e")


def _split_path(text: str) -> tuple[str, str]:
    """Returns the local path at the beginning of a line and what follows it; an empty path when there is none."""
    if "://" in text or " @ " in text:
        return "", text
    path, rest = _split_extras(text)
    is_path = path.startswith(("./", "../", "/")) or path in (".", "..") or path.lower().endswith(_ARCHIVES)
    return (path, rest) if is_path else ("", text)


def _split_extras(text: str) -> tuple[str, str]:
    found = re.match(r"([^\[;\s]+)(.*)", text, re.DOTALL)
    return (found[1], found[2]) if found else (text, "")


def _name_of_file(path: str) -> str:
    leaf = path.rstrip("/").rpartition("/")[2]
    if leaf.lower().endswith(_ARCHIVES):
        leaf = re.split(r"-(?=\d)", leaf)[0]
    return normalize(leaf) if leaf not in (".", "..") else ""


def _name_of_address(text: str, default: str) -> str:
    if found := re.search(r"[#&]egg=([A-Za-z0-9._-]+)", text):
        return normalize(found[1])
    if re.match(r"[^:/]+@", text.replace(" ", "")) and not text.startswith(("git+", "hg+", "svn+", "bzr+")):
        return default
    address = re.split(r"[#?;]|\s", text)[0]
    leaf = address.rstrip("/").rpartition("/")[2].partition("@")[0]
    return _name_of_file(leaf.removesuffix(".git"))
