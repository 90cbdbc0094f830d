"""What of a config.yaml needs work before a replica can start. Pure."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.preparation.errors import PreparationError

if TYPE_CHECKING:
    from penstock.preparation.requirements import Requirements
    from penstock.truss import TrussConfig

KEY_FORMAT = 1
"""Raised when environments are built in another way, so that none of the old way is taken for one of the new."""
PLATFORM_MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"


@dataclass(frozen=True, slots=True)
class PythonChoice:
    """The version of Python that a model gets."""

    minor: str
    """Such as "3.11"."""
    problem: str = ""
    """Why it is not the one that was wanted; empty when it is."""


def needs_preparation(config: TrussConfig, platform_minor: str = PLATFORM_MINOR) -> bool:
    """Whether `python -m penstock.preparation` has anything to do or to say for this model."""
    return bool(
        needs_environment(config, platform_minor, platform_minor) or config.system_packages or needs_weights(config)
    ) or config.python_version not in (None, platform_minor)


def needs_environment(config: TrussConfig, minor: str, platform_minor: str = PLATFORM_MINOR) -> bool:
    """Whether the model may need packages or a Python of its own, when it runs with Python `minor`."""
    return bool(config.requirements or config.requirements_file or config.build_commands) or minor != platform_minor


def needs_weights(config: TrussConfig) -> bool:
    return bool(config.weights or config.model_cache or config.external_data)


def choose_python(wanted: str | None, *, platform_minor: str, lowest_minor: str) -> PythonChoice:
    """Decides on the version of Python.

    One that is older than Penstock itself can run with is replaced by the platform's: the model's author chose it years
    ago, and nothing that could be installed would help.

    Args:
        wanted: `python_version`; None when absent.
        lowest_minor: The oldest version that Penstock runs with.
    """
    if wanted is None or wanted == platform_minor:
        return PythonChoice(platform_minor)
    if _numbers(wanted) < _numbers(lowest_minor):
        return PythonChoice(
            platform_minor,
            f"config.yaml: python_version: Penstock needs Python {lowest_minor} or newer, so the model runs with "
            f"{platform_minor} instead of {wanted}; packages that are pinned to versions of that time may not exist "
            "for it",
        )
    return PythonChoice(wanted)


def missing_python(minor: str, available: Iterable[str]) -> PreparationError:
    """Returns the error for a version of Python that is not on this machine."""
    found = ", ".join(available) or "none but the platform's own"
    return PreparationError(
        f"config.yaml: python_version: the model wants Python {minor}, which is not on this machine.\n"
        f"Available: {found}.\n"
        f"Install Python {minor} (`uv python install {minor}`, pyenv, or the system's packages), or choose an "
        "available version in config.yaml."
    )


def environment_key(
    requirements: Requirements, *, python: str, needs: Iterable[str], install_args: Iterable[str]
) -> str:
    """Returns the name of the environment of this content.

    Args:
        python: Identity of the interpreter: its path and full version.
        needs: What Penstock itself puts into the environment; empty where it stands behind it.
    """
    lines = [
        # What is linked to a folder is another thing in another folder, however equal their contents.
        line.resolved if line.resolved.startswith(("-e", "--find-links")) else line.text
        for line in requirements.lines
    ]
    parts = [KEY_FORMAT, python, lines, requirements.constraints, requirements.digests, list(needs), list(install_args)]
    return _digest(parts)


def commands_key(environment: str, *, python: str, commands: Iterable[str], model_dir: str) -> str:
    """Returns the name of the environment in which build commands have run.

    It is of one folder, as the commands write into it.
    """
    return _digest([KEY_FORMAT, environment, python, list(commands), model_dir])


def _digest(parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:20]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
