"""A virtual environment of a model: its own packages first, Penstock's behind them."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from penstock.preparation.build_process import build_environ
from penstock.preparation.errors import PreparationError
from penstock.preparation.platform_python import PACKAGES, PlatformPython
from penstock.preparation.requirement_line import normalize

CREATE_TIMEOUT_S = 120.0
CHECK_TIMEOUT_S = 300.0
"""For importing what a runner needs; a cold disk may take a while."""

# site reads the files in the order of their names: what stands in this one comes after all others.
BEHIND_FILE = "zzzz_penstock.pth"

_CHECK = """
import importlib, json, sys, traceback
try:
    for name in sys.argv[1:]:
        importlib.import_module(name)
    answer = {}
except BaseException as exc:
    places = [frame.filename for frame in traceback.extract_tb(exc.__traceback__)]
    answer = {"error": "%s: %s" % (type(exc).__name__, exc), "places": places}
sys.stdout.write("\\n" + json.dumps(answer) + "\\n")
"""
RUNNER_MODULES = ("penstock_runner.__main__", "penstock_runner.server", "fastapi")
"""What a runner imports before it comes to the model."""


@dataclass(frozen=True, slots=True)
class Broken:
    """Why Penstock does not run in an environment."""

    error: str
    """The exception, on one line or more."""
    culprits: tuple[str, ...]
    """The environment's versions of what Penstock needs, where they are other ones than the platform's."""


@dataclass(frozen=True, slots=True)
class VirtualEnvironment:
    folder: Path
    """Absolute; it cannot be moved, as its scripts name it."""
    minor: str
    """Its version of Python, such as "3.11"."""

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def site_packages(self) -> Path:
        return self.folder / "lib" / f"python{self.minor}" / "site-packages"

    def create(self, interpreter: str) -> None:
        """Makes the environment, without pip.

        Raises:
            PreparationError: The interpreter cannot.
        """
        command = [interpreter, "-I", "-m", "venv", "--without-pip", str(self.folder)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=CREATE_TIMEOUT_S, check=False, stdin=subprocess.DEVNULL
            )
        except (OSError, subprocess.TimeoutExpired) as exc:
            raise PreparationError(f"{interpreter} cannot make an environment in {self.folder}: {exc}") from None
        if done.returncode != 0 or not self.python.exists():
            last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-5:])
            raise PreparationError(
                f"{interpreter} cannot make an environment in {self.folder} (on Debian and Ubuntu python3-venv may be "
                f"missing):\n{last}"
            )

    def put_behind(self, folders: Sequence[str]) -> None:
        """Has the interpreter look into `folders` after its own packages; the first goes before the others."""
        self._write_behind(folders)

    def put_environment_behind(self, other: VirtualEnvironment) -> None:
        """Has the interpreter see all that the interpreter of `other` sees, after its own packages."""
        # Not the bare folder: editable packages of `other`, and what is behind it, stand in files for `site` there.
        self._write_behind([f"import site; site.addsitedir({str(other.site_packages)!r})"])
        self._link_programs(other)

    def _write_behind(self, lines: Sequence[str]) -> None:
        (self.site_packages / BEHIND_FILE).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def link_penstock(self, platform: PlatformPython) -> None:
        """Makes Penstock importable where the platform's packages are for another version of Python.

        Only Penstock itself: it is plain Python, its requirements are not.
        """
        self.put_behind(platform.source_roots)
        places = [Path(folder) / name for folder in platform.site_folders for name in PACKAGES]
        for place in [*places, Path(platform.metadata_folder or "/nowhere")]:
            target = self.site_packages / place.name
            if place.is_dir() and not target.exists():
                target.symlink_to(place)

    def write_pip(self, platform: PlatformPython) -> None:
        """Gives the environment a `pip` command that installs into it, unless it has one."""
        if not platform.has_pip:
            return
        words = [platform.executable, "-P", "-m", "pip", "--python", str(self.python)]
        for name in ("pip", "pip3"):
            path = self.folder / "bin" / name
            if not path.exists():
                path.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n', encoding="utf-8")
                path.chmod(0o755)

    def _link_programs(self, other: VirtualEnvironment) -> None:
        for path in (other.folder / "bin").iterdir():
            own = self.folder / "bin" / path.name
            if not own.exists() and not path.name.lower().startswith("activate"):
                own.symlink_to(path)

    def check(self, platform: PlatformPython, environ: Mapping[str, str]) -> Broken | None:
        """Imports what a runner needs with this interpreter; None when that works."""
        command = [str(self.python), "-P", "-c", _CHECK, *RUNNER_MODULES]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=CHECK_TIMEOUT_S,
                check=False,
                stdin=subprocess.DEVNULL,
                env=build_environ(environ),
                cwd=self.folder,
            )
            answer = json.loads(done.stdout.strip().rpartition("\n")[2])
        except subprocess.TimeoutExpired:
            answer = {"error": f"importing Penstock took more than {CHECK_TIMEOUT_S:g} s"}
        except (OSError, ValueError) as exc:
            answer = {"error": f"the interpreter did not answer ({exc})"}
        if "error" not in answer:
            return None
        return Broken(answer["error"], tuple(self._culprits(platform, answer.get("places", ()))))

    def _culprits(self, platform: PlatformPython, places: Sequence[str]) -> list[str]:
        """What stands before the platform's version of the same project, the packages of the traceback first."""
        behind = {
            normalize(found.metadata["Name"]): found.version
            for found in importlib.metadata.distributions(path=list(platform.site_folders))
            if found.metadata["Name"]
        }
        needs = {normalize(re.split(r"[^\w.-]", need)[0]): need for need in platform.needs}
        inside = f"{self.site_packages}{os.sep}"
        tops = [place[len(inside) :].split(os.sep)[0] for place in places if place.startswith(inside)]
        culprits = []
        for found in importlib.metadata.distributions(path=[str(self.site_packages)]):
            name = normalize(found.metadata["Name"] or "")
            theirs = behind.get(name)
            if theirs is None or theirs == found.version:
                continue
            wants = f"needs {needs[name]}" if name in needs else f"runs with {theirs}"
            rank = 0 if name in needs else 1 if name.replace("-", "_") in tops else 2
            culprits.append((rank, f"{name} {found.version} (Penstock {wants})"))
        return [text for _, text in sorted(culprits)]
