"""Carries out `penstock run-python`."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from penstock.cli import exit_status
from penstock.cli.command_error import CommandError
from penstock.cli.run_python.script import SECRET_PREFIX, script_arguments, script_environment, split_arguments
from penstock.preparation import PreparationError, ensure_environment
from penstock.state_dir import StateDirError, default_state_dir, prepare_state_dir
from penstock.truss import ConfigError, TrussConfig, load_config

CACHE_FOLDER = "cache"
"""Below the state folder: what the builds of a controller use, too."""
SECRETS_FOLDER = Path("/secrets")


def run_python(arguments: argparse.Namespace) -> int:
    """Runs the script; returns its exit status.

    Raises:
        CommandError: There is no script, the folder is no Truss, or its environment cannot be built.
    """
    directory, words = split_arguments(arguments.script, arguments.dir)
    if not words:
        raise CommandError("give a script to run", exit_status.USAGE)
    words = script_arguments(words, Path.cwd())
    if not words[0].startswith("-") and not Path(words[0]).is_file():
        raise CommandError(f"there is no script {words[0]}", exit_status.USAGE)
    directory = directory.resolve()
    try:
        config = load_config(directory)
        state_dir = prepare_state_dir(arguments.state_dir or default_state_dir(os.environ))
        python = ensure_environment(config, directory, state_dir / CACHE_FOLDER, _report)
    except ConfigError as exc:
        raise CommandError(str(exc), exit_status.USAGE) from None
    except (PreparationError, StateDirError) as exc:
        raise CommandError(str(exc)) from None
    bin_folder = None if python == Path(sys.executable) else python.parent
    env = script_environment(os.environ, config, directory, _secrets(config, os.environ), bin_folder=bin_folder)
    return _run([str(python), *words], directory, env)


def _secrets(config: TrussConfig, env: Mapping[str, str]) -> dict[str, str]:
    """Looks where a runner looks: the environment, the secrets folder, the default in config.yaml."""
    found = {
        name: env.get(SECRET_PREFIX + name) or _from_file(name) or default for name, default in config.secrets.items()
    }
    return {name: value for name, value in found.items() if value}


def _from_file(name: str) -> str | None:
    if "/" in name or name in ("", ".", ".."):
        return None
    try:
        return (SECRETS_FOLDER / name).read_text()
    except (OSError, UnicodeDecodeError):
        return None


def _run(command: list[str], directory: Path, env: dict[str, str]) -> int:
    with subprocess.Popen(command, cwd=directory, env=env) as process:
        # Ctrl-C reaches the script as well: it decides what to do.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            status = process.wait()
        finally:
            signal.signal(signal.SIGINT, before)
    return status if status >= 0 else 128 - status


def _report(line: str) -> None:
    print(line, file=sys.stderr)
