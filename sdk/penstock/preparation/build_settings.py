"""How environments are built on this machine: settings that come from the process's environment."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from penstock.preparation.errors import PreparationError

INSTALLER_VARIABLE = "PENSTOCK_INSTALLER"
PIP_ARGS_VARIABLE = "PENSTOCK_PIP_ARGS"
BUILD_TIMEOUT_VARIABLE = "PENSTOCK_BUILD_TIMEOUT"
ENVIRONMENTS_MAX_VARIABLE = "PENSTOCK_ENVIRONMENTS_MAX"
ENVIRONMENTS_BYTES_VARIABLE = "PENSTOCK_ENVIRONMENTS_BYTES"

InstallerChoice = Literal["auto", "uv", "pip"]

BUILD_TIMEOUT_MAX_S = 24 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSettings:
    """Limits and choices for all environments of a cache."""

    installer: InstallerChoice = "auto"
    """"auto" takes uv when it is on PATH, else pip."""
    install_args: tuple[str, ...] = ()
    """Further arguments of `install`, for uv and pip alike: an index, find-links, constraints."""
    timeout_s: float = 3600.0
    """Longest run of one installation or build command, and longest wait for another process that builds the same."""
    environments_max: int = 64
    """Environments that are kept, at least 1."""
    bytes_max: int = 100 * 1024**3
    """Space that all environments may take on disk."""


def read_build_settings(environ: Mapping[str, str]) -> BuildSettings:
    """Reads the variables above; those that are absent or empty leave the default.

    Raises:
        PreparationError: One of them has no usable value.
    """
    default = BuildSettings()
    installer = environ.get(INSTALLER_VARIABLE) or default.installer
    if installer not in ("auto", "uv", "pip"):
        raise PreparationError(f"{INSTALLER_VARIABLE} must be auto, uv or pip, got {installer!r}")
    try:
        install_args = tuple(shlex.split(environ.get(PIP_ARGS_VARIABLE, "")))
    except ValueError as exc:
        raise PreparationError(f"{PIP_ARGS_VARIABLE} cannot be split into arguments: {exc}") from None
    return BuildSettings(
        installer=cast(InstallerChoice, installer),
        install_args=install_args,
        timeout_s=_number(environ, BUILD_TIMEOUT_VARIABLE, default.timeout_s, low=1, high=BUILD_TIMEOUT_MAX_S),
        environments_max=int(
            _number(environ, ENVIRONMENTS_MAX_VARIABLE, default.environments_max, low=1, high=1_000_000)
        ),
        bytes_max=int(_number(environ, ENVIRONMENTS_BYTES_VARIABLE, default.bytes_max, low=0, high=2**63)),
    )


def _number(environ: Mapping[str, str], name: str, default: float, *, low: float, high: float) -> float:
    text = environ.get(name)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise PreparationError(f"{name} must be a number from {low:g} to {high:g}, got {text!r}")
    return value
