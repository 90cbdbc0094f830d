"""The command line of a script that is run as a replica would run the model. Pure."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from penstock.process_env import model_variables
from penstock.truss import TrussConfig

SECRET_PREFIX = "TRUSS_SECRET_"


def split_arguments(words: Sequence[str], directory: Path | None) -> tuple[Path, list[str]]:
    """Returns the Truss directory and what Python gets.

    `--dir` may also stand directly behind the script, as people write it; after `--` nothing is ours.

    Args:
        words: The script and all behind it.
        directory: What --dir in front of the script said.
    """
    rest = list(words)
    if rest[:1] == ["--"]:
        return directory or Path(), rest[1:]
    if directory is None and len(rest) > 1:
        if rest[1] == "--dir" and len(rest) > 2:
            return Path(rest[2]), [rest[0], *rest[3:]]
        if rest[1].startswith("--dir="):
            return Path(rest[1].removeprefix("--dir=")), [rest[0], *rest[2:]]
    return directory or Path(), rest


def script_arguments(words: Sequence[str], cwd: Path) -> list[str]:
    """Returns the arguments of Python, with the path of the script absolute: it runs in another folder."""
    if not words or words[0].startswith("-"):
        return list(words)
    return [str(cwd / words[0]), *words[1:]]


def script_environment(
    base: Mapping[str, str],
    config: TrussConfig,
    directory: Path,
    secrets: Mapping[str, str],
    *,
    bin_folder: Path | None,
) -> dict[str, str]:
    """Returns the environment of the script.

    Args:
        directory: Truss directory, absolute.
        secrets: Declared secrets that have a value, by name.
        bin_folder: With the programs of the model's own environment; None when it has none.
    """
    env = {**base, **model_variables(config.environment_variables, gpus_assigned=False)}
    env["APP_HOME"] = str(directory)
    env |= {f"{SECRET_PREFIX}{name}": value for name, value in secrets.items()}
    if bin_folder is not None:
        # As in a replica: the script may start programs that its requirements brought.
        env["PATH"] = f"{bin_folder}:{env.get('PATH') or os.defpath}"
        env["VIRTUAL_ENV"] = str(bin_folder.parent)
    folders = [directory, directory / config.bundled_packages_dir]
    folders += [(directory / entry).resolve() for entry in config.external_package_dirs]
    paths = [str(folder) for folder in folders]
    env["PYTHONPATH"] = ":".join([*paths, *filter(None, [env.get("PYTHONPATH", "")])])
    return env
