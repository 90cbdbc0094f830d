"""What `penstock up` was asked to do, checked."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from penstock.chains.chain_file import ChainFile, split_chain_path
from penstock.cli.up.host_port import HostPort
from penstock.state_dir import StateDirError, StateDirInUseError, default_state_dir, prepare_state_dir, state_dir_holder
from penstock.truss import CONFIG_NAME, ConfigError, TrussConfig, load_config

REPLICAS_MAX = 1000
"""The controller takes no more per deployment."""
DRAIN_TIMEOUT_DEFAULT_S = 10
DRAIN_TIMEOUT_MAX_S = 86_400
MODELS_MAX = 100
HINT_FILES_MAX = 50
"""Python files of a folder without config.yaml that are looked at for a hint."""
HINT_BYTES_MAX = 64 * 1024
"""So much of each."""


class UsageError(Exception):
    """`penstock up` cannot start as it was called; the message says what, where and what to do."""


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model to serve."""

    name: str
    """As config.yaml or the folder has it; the controller makes the deployment's name of it."""
    directory: Path
    example: str = "{}"
    """Input of a request, as JSON: `model_metadata.example_model_input` of config.yaml."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions:
    """A valid call of `penstock up`."""

    models: tuple[ModelSource, ...]
    chains: tuple[ChainFile, ...] = ()
    listen: HostPort
    grpc_listen: HostPort | None
    """None: no gRPC."""
    grpc_listen_is_default: bool
    """Another port may be taken when this one is in use."""
    replicas: int | None
    """Of each model; None has them scaled by load."""
    state_dir: Path
    ready_file: Path | None
    drain_timeout_s: float
    watch: bool = False
    """Files that are saved are taken over."""


def resolve_options(
    *,
    paths: Sequence[str],
    listen: str,
    grpc_listen: str | None,
    replicas: str | None,
    state_dir: str | None,
    ready_file: str | None,
    drain_timeout: str,
    insecure: bool,
    watch: bool = False,
    cwd: Path,
    env: Mapping[str, str],
) -> UpOptions:
    """Checks a command line and the folders that it names; makes the state folder.

    Raises:
        UsageError: something cannot be used.
    """
    http = _address("--listen", listen, insecure=insecure)
    grpc: HostPort | None
    if grpc_listen is None:
        grpc = http.with_port(http.port + 1 if 0 < http.port < 65535 else 0)
    elif grpc_listen == "off":
        grpc = None
    else:
        grpc = _address("--grpc-listen", grpc_listen, insecure=insecure)
    if grpc is not None and grpc == http and http.port != 0:
        raise UsageError(f"--listen and --grpc-listen are both {http}; they need two ports")
    count = None if replicas is None else _replicas(replicas)
    drain_timeout_s = _drain_timeout(drain_timeout)
    file = _ready_file(cwd / ready_file) if ready_file else None
    chains, folders = _split_paths(paths, cwd)
    models = _models(folders if paths else [cwd])
    return UpOptions(
        models=models,
        chains=chains,
        listen=http,
        grpc_listen=grpc,
        grpc_listen_is_default=grpc_listen is None,
        replicas=count,
        state_dir=_state_dir(cwd / Path(state_dir).expanduser() if state_dir else default_state_dir(env)),
        ready_file=file,
        drain_timeout_s=drain_timeout_s,
        watch=watch,
    )


def _address(option: str, text: str, *, insecure: bool) -> HostPort:
    try:
        address = HostPort.parse(text)
    except ValueError as exc:
        raise UsageError(f"{option}: {exc}") from None
    if not address.is_loopback and not insecure:
        raise UsageError(
            f"{option} {address}: other machines could use the models without authentication; "
            "listen on 127.0.0.1, or add --insecure if that is meant"
        )
    return address


def _replicas(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= REPLICAS_MAX:
        raise UsageError(f"--replicas: expected a number from 1 to {REPLICAS_MAX}, got {text!r}")
    return int(text)


def _drain_timeout(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= DRAIN_TIMEOUT_MAX_S:
        raise UsageError(f"--drain-timeout: expected seconds from 0 to {DRAIN_TIMEOUT_MAX_S}, got {text!r}")
    return seconds


def _ready_file(path: Path) -> Path:
    if path.exists() and not path.is_file():
        raise UsageError(f"--ready-file: {path} is not a regular file; choose the name of a new file")
    if not path.parent.is_dir():
        raise UsageError(f"--ready-file: there is no folder {path.parent}")
    return path


def _split_paths(paths: Sequence[str], cwd: Path) -> tuple[tuple[ChainFile, ...], list[Path]]:
    """Returns the chains, whose paths are Python files, and the folders of models."""
    chains: list[ChainFile] = []
    folders: list[Path] = []
    for path in paths:
        found = None if (cwd / path).is_dir() else split_chain_path(path)
        if found is None:
            folders.append(cwd / path)
            continue
        file, entrypoint = cwd / found[0], found[1]
        if not file.is_file():
            raise UsageError(f"there is no file {file}")
        chain = ChainFile(file.resolve(), entrypoint)
        if chain in chains:
            raise UsageError(f"{path} is given twice")
        chains.append(chain)
    if len(paths) > MODELS_MAX:
        raise UsageError(f"{len(paths)} models and chains; at most {MODELS_MAX} can be served at once")
    return tuple(chains), folders


def _chain_hint(directory: Path) -> str:
    """Names the chain files of a folder that is no Truss; empty when there are none."""
    if (directory / CONFIG_NAME).exists() or not directory.is_dir():
        return ""
    found = [file.name for file in sorted(directory.glob("*.py"))[:HINT_FILES_MAX] if _is_chain_file(file)]
    if not found:
        return ""
    path = os.path.relpath(directory / found[0])
    return f"\n  {', '.join(found)} holds a chain: penstock up {path}"


def _is_chain_file(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            start = opened.read(HINT_BYTES_MAX)
    except OSError:
        return False
    return b"ChainletBase" in start and re.search(rb"\b(truss_chains|penstock)\b", start) is not None


def _models(directories: Sequence[Path]) -> tuple[ModelSource, ...]:
    if len(directories) > MODELS_MAX:
        raise UsageError(f"{len(directories)} models; at most {MODELS_MAX} can be served at once")
    by_name: dict[str, ModelSource] = {}
    for directory in directories:
        try:
            config = load_config(directory)
        except ConfigError as exc:
            problems = "\n".join(f"  {problem}" for problem in exc.problems)
            raise UsageError(f"cannot serve {directory}\n{problems}{_chain_hint(directory)}") from None
        model = ModelSource(config.model_name, directory.resolve(), _example(config))
        # Deployment names know no case.
        other = by_name.setdefault(config.model_name.casefold(), model)
        if other is not model:
            if other.directory == model.directory:
                raise UsageError(f"{directory} is given twice")
            raise UsageError(
                f"two models are named {model.name!r}: {other.directory} and {model.directory}; "
                "set another model_name in one config.yaml"
            )
    return tuple(by_name.values())


def _example(config: TrussConfig) -> str:
    given = config.model_metadata.get("example_model_input")
    try:
        return "{}" if given is None else json.dumps(given, ensure_ascii=False)
    except (TypeError, ValueError):
        # YAML has values, such as dates, that JSON has not.
        return "{}"


def _state_dir(path: Path) -> Path:
    try:
        path = prepare_state_dir(path)
        pid = state_dir_holder(path)
    except StateDirError as exc:
        raise UsageError(str(exc)) from None
    if pid is not None:
        # The controller takes the lock itself; asking first gives a clear answer before anything is started.
        raise UsageError(str(StateDirInUseError(path, pid or None)))
    return path
