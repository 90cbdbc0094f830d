"""Which of the `system_packages` are missing on this machine. Nothing is installed: that needs the administrator."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence

QUERY_TIMEOUT_S = 30.0

_INSTALL = (
    ("apt-get", "apt-get install"),
    ("dnf", "dnf install"),
    ("yum", "yum install"),
    ("zypper", "zypper install"),
)


def missing_packages(names: Sequence[str], environ: Mapping[str, str]) -> tuple[str, ...]:
    """Returns texts that tell what is missing and how to install it; empty when nothing is."""
    path = environ.get("PATH")
    wanted = [word for name in names for word in name.split() if not word.startswith("-")]
    if not wanted:
        return ()
    if shutil.which("dpkg-query", path=path):
        installed = _dpkg(wanted)
    elif shutil.which("rpm", path=path):
        installed = _rpm(wanted)
    else:
        installed = None
    listed = ", ".join(wanted)
    if installed is None:
        return (f"config.yaml: system_packages: not checked, as dpkg-query and rpm are missing; needed: {listed}",)
    missing = [name for name in wanted if _bare(name) not in installed]
    if not missing:
        return ()
    command = next((command for program, command in _INSTALL if shutil.which(program, path=path)), "apt-get install")
    return (
        f"config.yaml: system_packages: missing on this machine: {', '.join(missing)}; "
        f"the model may not work. Install: sudo {command} {' '.join(missing)}",
    )


def _bare(name: str) -> str:
    """Takes version, release and architecture off a name: `ffmpeg=7:5.1`, `libc6:i386`, `vim/stable`."""
    return re.split(r"[=:/<>]", name)[0]


def _dpkg(names: Sequence[str]) -> set[str] | None:
    output = _query(["dpkg-query", "--show", "--showformat=${db:Status-Abbrev}\t${Package}\t${Provides}\n"], names)
    if output is None:
        return None
    installed = set()
    for line in output.splitlines():
        status, _, rest = line.partition("\t")
        if status.startswith("ii"):
            installed.add(rest.partition("\t")[0])
    # A name may be a virtual package that another one provides; only the whole list can tell.
    if any(_bare(name) not in installed for name in names):
        everything = _query(["dpkg-query", "--show", "--showformat=${db:Status-Abbrev}\t${Provides}\n"], ()) or ""
        for line in everything.splitlines():
            status, _, provides = line.partition("\t")
            if status.startswith("ii"):
                installed.update(_bare(part.strip().split(" ")[0]) for part in provides.split(",") if part.strip())
    return installed


def _rpm(names: Sequence[str]) -> set[str] | None:
    installed = set()
    for name in names:
        output = _query(["rpm", "--query", "--whatprovides", "--queryformat", "%{NAME}\n"], [name])
        if output is None:
            return None
        if output.strip() and "no package provides" not in output:
            installed.add(_bare(name))
    return installed


def _query(command: Sequence[str], names: Sequence[str]) -> str | None:
    try:
        # Its status is not 0 as soon as one package is not known; that is no failure here.
        done = subprocess.run(
            [*command, *(_bare(name) for name in names)],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=QUERY_TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout
