"""Finds interpreters on this machine: on PATH, in pyenv, in uv. Downloads none."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PROBE_TIMEOUT_S = 20.0
"""An interpreter that takes longer to say its version is not usable."""
MINOR_LAST = 14
"""The newest minor version that is looked for when all are to be named."""

_PROBE = "import sys; print('%d.%d.%d' % sys.version_info[:3], sys.executable)"


@dataclass(frozen=True, slots=True)
class Interpreter:
    path: str
    version: str
    """In full, such as "3.12.1"."""

    def __str__(self) -> str:
        return f"{self.version} ({self.path})"


def find_interpreter(minor: str, environ: Mapping[str, str]) -> Interpreter | None:
    """Returns an interpreter of version `minor`, such as "3.12"; None when this machine has none that runs."""
    for path in _candidates(minor, environ):
        found = probe(path)
        if found is not None and found.version.startswith(f"{minor}."):
            return found
    return None


def find_all(environ: Mapping[str, str], *, lowest_minor: str, but: str) -> list[Interpreter]:
    """Returns one interpreter of each version from `lowest_minor` on, except of version `but`."""
    first = int(lowest_minor.partition(".")[2])
    found = (find_interpreter(f"3.{minor}", environ) for minor in range(first, MINOR_LAST + 1) if f"3.{minor}" != but)
    return [interpreter for interpreter in found if interpreter is not None]


def probe(path: str) -> Interpreter | None:
    """Runs the interpreter; None when it does not run, as a shim of pyenv whose version is switched off."""
    try:
        done = subprocess.run(
            [path, "-I", "-c", _PROBE],
            capture_output=True,
            text=True,
            timeout=PROBE_TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    version, _, executable = done.stdout.strip().partition(" ")
    if done.returncode != 0 or not re.fullmatch(r"\d+\.\d+\.\d+", version):
        return None
    # A shim starts the interpreter in its own place; the venv must be made by the interpreter itself.
    return Interpreter(executable or path, version)


def _candidates(minor: str, environ: Mapping[str, str]) -> Iterator[str]:
    name = f"python{minor}"
    for folder in environ.get("PATH", os.defpath).split(os.pathsep):
        if folder and os.access(path := os.path.join(folder, name), os.X_OK):
            yield path
    yield from _pyenv(minor, environ)
    yield from _uv(minor, environ)


def _pyenv(minor: str, environ: Mapping[str, str]) -> Iterator[str]:
    root = environ.get("PYENV_ROOT") or (os.path.join(environ["HOME"], ".pyenv") if environ.get("HOME") else "")
    if not root:
        return
    folders = [path for path in Path(root, "versions").glob(f"{minor}.*") if path.name.replace(".", "").isdigit()]
    for folder in sorted(folders, key=lambda path: [int(part) for part in path.name.split(".")], reverse=True):
        yield str(folder / "bin" / f"python{minor}")


def _uv(minor: str, environ: Mapping[str, str]) -> Iterator[str]:
    uv = shutil.which("uv", path=environ.get("PATH", os.defpath))
    if uv is None:
        return
    try:
        done = subprocess.run(
            [uv, "python", "find", "--no-project", minor],
            capture_output=True,
            text=True,
            timeout=PROBE_TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**environ, "UV_PYTHON_DOWNLOADS": "never"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return
    if done.returncode == 0 and done.stdout.strip():
        yield done.stdout.strip().splitlines()[-1]
