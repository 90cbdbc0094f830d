"""config.yaml of a Truss directory (truss.md section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from penstock.process_env import CUDA_VARIABLE, is_platform_variable
from penstock.truss.document import parse_document
from penstock.truss.errors import ConfigError, Problem
from penstock.truss.resources import read_gpus
from penstock.truss.section import Section
from penstock.truss.settings import TIME_MAX_S, PenstockSettings, read_settings

CONFIG_NAME = "config.yaml"
CONFIG_BYTES_MAX = 4 * 1024 * 1024
"""A larger file is no configuration; the largest known example has 20 KiB."""
STARTUP_DEFAULT_S = 1800.0
"""Time to load a model (truss.md section 2.1)."""
PING_DEFAULT_S = 20.0
"""Ping interval and timeout where config.yaml gives null or 0 (truss.md section 1.4)."""

TransportKind = Literal["http", "websocket", "grpc"]
KINDS = ("http", "websocket", "grpc")


@dataclass(frozen=True, slots=True)
class Transport:
    """`runtime.transport` as written; the pings that hold are those of PenstockSettings."""

    kind: TransportKind = "http"
    ping_interval_seconds: float | None = None
    ping_timeout_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrussConfig:
    """What config.yaml says, with defaults filled in."""

    model_name: str
    """Name under which it is served; that of the folder when config.yaml gives none."""
    model_module_dir: str
    model_class_filename: str
    model_class_name: str
    data_dir: str
    bundled_packages_dir: str
    external_package_dirs: tuple[str, ...]
    """Relative to the Truss directory; may lead out of it."""
    environment_variables: dict[str, str]
    gpus: int
    """GPUs that one replica needs for itself."""
    secrets: dict[str, str | None]
    """Declared names with their default values."""
    transport: Transport
    predict_concurrency: int
    startup_timeout_s: float
    """Time for import, __init__ and load together."""
    has_docker_server: bool
    """The deployment brings its own server instead of a model class."""
    penstock: PenstockSettings
    raw: dict[str, Any]
    """The whole file as it stands, unknown keys included; what a model gets as `config`."""
    warnings: tuple[Problem, ...]
    """Doubtful things that hinder nothing."""


def load_config(directory: Path) -> TrussConfig:
    """Reads DIRECTORY/config.yaml.

    Raises:
        ConfigError: It is missing, not YAML or has bad values; all problems are listed.
    """
    path = directory / CONFIG_NAME
    try:
        size = path.stat().st_size
        if size > CONFIG_BYTES_MAX:
            raise ConfigError([_whole_file(f"has {size} bytes; at most {CONFIG_BYTES_MAX} are read")])
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError([_whole_file(_missing(directory))]) from None
    except OSError as exc:
        raise ConfigError([_whole_file(f"cannot be read: {exc.strerror or exc} ({path})")]) from None
    return parse_config(content, name_default=directory.resolve().name or "model")


def parse_config(content: bytes, *, name_default: str, file: str = CONFIG_NAME) -> TrussConfig:
    """Reads the content of a config.yaml; raises ConfigError as load_config does."""
    document = parse_document(content, file)
    problems: list[Problem] = []
    warnings: list[Problem] = list(document.duplicates)
    top = Section.top(document, problems, warnings)
    runtime = top.section("runtime")
    transport = _transport(runtime)
    gpus = read_gpus(top.section("resources"))
    startup = runtime.section("health_checks").seconds("startup_threshold_seconds", None, low=10, high=3000)
    config = TrussConfig(
        model_name=_model_name(top, name_default),
        model_module_dir=top.path("model_module_dir", "model"),
        model_class_filename=top.path("model_class_filename", "model.py"),
        model_class_name=top.text("model_class_name", "Model"),
        data_dir=top.path("data_dir", "data"),
        bundled_packages_dir=top.path("bundled_packages_dir", "packages"),
        external_package_dirs=top.texts("external_package_dirs"),
        environment_variables=_environment_variables(top, gpus),
        gpus=gpus,
        secrets=_secrets(top),
        transport=transport,
        predict_concurrency=runtime.integer("predict_concurrency", 1, low=1, high=1_000_000),
        startup_timeout_s=startup or STARTUP_DEFAULT_S,
        has_docker_server=top.has("docker_server"),
        penstock=read_settings(
            top.section("penstock"),
            transport_ping_interval_s=transport.ping_interval_seconds or PING_DEFAULT_S,
            transport_ping_timeout_s=transport.ping_timeout_seconds or PING_DEFAULT_S,
        ),
        raw=document.data,
        warnings=tuple(warnings),
    )
    if problems:
        raise ConfigError(sorted(problems, key=lambda problem: (problem.line or 0, problem.column or 0)))
    return config


def _whole_file(message: str) -> Problem:
    return Problem(CONFIG_NAME, None, None, "", message)


def _missing(directory: Path) -> str:
    if not directory.exists():
        return f"there is no folder {directory}"
    if not directory.is_dir():
        return f"{directory} is not a folder; give the Truss directory that holds {CONFIG_NAME}"
    if (directory / "config.yml").exists():
        return f"not found in {directory}, but config.yml is there; rename it to {CONFIG_NAME}"
    return f"not found in {directory}; a Truss directory holds {CONFIG_NAME} and model/model.py"


def _model_name(top: Section, name_default: str) -> str:
    name = top.text("model_name", name_default)
    if not name.isprintable():
        top.refuse("model_name", f"must not hold control characters, got {name!r}")
    return name


def _environment_variables(top: Section, gpus: int) -> dict[str, str]:
    variables = {name: value or "" for name, value in top.scalars("environment_variables").items()}
    inner = top.section("environment_variables")
    for name, value in variables.items():
        if "=" in name or "\0" in name + value:
            inner.refuse(name, "is not a valid name and value of an environment variable")
        elif name in ("PORT", "HOSTNAME"):
            inner.warn(name, "is set by the platform in other Truss servers; a model should not rely on it")
        elif is_platform_variable(name):
            inner.warn(name, "belongs to Penstock and has no effect here")
        elif gpus and name == CUDA_VARIABLE:
            inner.warn(name, "has no effect where Penstock assigns the GPUs of `resources.accelerator`")
    return variables


def _secrets(top: Section) -> dict[str, str | None]:
    if isinstance(top.peek("secrets"), list):
        top.refuse("secrets", "must be a mapping of secret names to null or a default, got a list; write `NAME: null`")
        return {}
    return top.scalars("secrets")


def _transport(runtime: Section) -> Transport:
    section = runtime.section("transport")
    kind = section.choice("kind", "http", KINDS)
    if runtime.boolean("is_websocket_endpoint", False):
        runtime.warn("is_websocket_endpoint", "is deprecated; write `transport: {kind: websocket}` instead")
        if section.has("kind") and kind != "websocket":
            runtime.refuse("is_websocket_endpoint", f"contradicts transport.kind: {kind}")
        kind = "websocket"
    return Transport(
        kind=cast(TransportKind, kind),
        ping_interval_seconds=section.seconds("ping_interval_seconds", None, low=0, high=TIME_MAX_S),
        ping_timeout_seconds=section.seconds("ping_timeout_seconds", None, low=0, high=TIME_MAX_S),
    )
