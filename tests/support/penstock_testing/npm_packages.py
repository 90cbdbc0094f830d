"""npm packages that tests need, kept between runs. A machine without a registry is found out once per run, quickly."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

INSTALL_SECONDS = 30.0


class NpmError(Exception):
    """The packages could not be installed; the message says why."""


def install_packages(
    npm: str, packages: Sequence[str], folder: Path, *, run: str, seconds: float = INSTALL_SECONDS
) -> None:
    """Makes sure that `folder` has `packages` in its node_modules.

    Args:
        run: Names the test run. Its processes share the folder, and after one of them has failed the others do not try.

    Raises:
        NpmError: They are not there, and npm did not get them in `seconds`, now or earlier in this run.
    """
    folder.mkdir(exist_ok=True)
    installed, failed = folder / "installed", folder / "failed"
    wanted = " ".join(packages)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if installed.exists() and installed.read_text() == wanted:
            return
        if failed.exists():
            failed_run, _, reason = failed.read_text().partition("\n")
            if failed_run == run:
                raise NpmError(reason)
        problem = _install(npm, packages, folder, seconds)
        if problem is not None:
            reason = f"npm could not install {wanted}: {problem}"
            failed.write_text(f"{run}\n{reason}")
            raise NpmError(reason)
        failed.unlink(missing_ok=True)
        installed.write_text(wanted)


def _install(npm: str, packages: Sequence[str], folder: Path, seconds: float) -> str | None:
    """Returns what went wrong."""
    options = ("--loglevel=error", "--no-audit", "--no-fund", "--no-save", "--fetch-retries=0", "--prefix", str(folder))
    with tempfile.TemporaryFile() as errors:
        # A file, not a pipe, and a session of its own: what npm has started would hold the pipe open after its end.
        process = subprocess.Popen(
            [npm, "install", *options, *packages],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return f"no end within {seconds:g} s"
        errors.seek(0)
        # npm begins with the cause and goes on with advice.
        said = " ".join(errors.read().decode("utf-8", "replace").split())[:200]
    return None if status == 0 else said or f"it ended with status {status}"
