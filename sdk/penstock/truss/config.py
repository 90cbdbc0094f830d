"""config.yaml of a Truss directory (truss.md section 3)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from penstock.process_env import CUDA_VARIABLE, is_platform_variable
from penstock.truss.assets import (
    ExternalData,
    ModelCacheItem,
    WeightsItem,
    read_external_data,
    read_model_cache,
    read_weights,
)
from penstock.truss.base_image import BaseImage, read_base_image
from penstock.truss.docker_server import DockerServer, read_docker_server
from penstock.truss.document import Document, parse_document
from penstock.truss.errors import ConfigError, Problem
from penstock.truss.health_checks import HealthChecks
from penstock.truss.python_version import read_python_version
from penstock.truss.resources import Resources, read_resources
from penstock.truss.runtime import read_runtime
from penstock.truss.section import Section
from penstock.truss.settings import PenstockSettings, read_settings
from penstock.truss.transport import Transport
from penstock.truss.unused import warn_unused

CONFIG_NAME = "config.yaml"
CONFIG_BYTES_MAX = 4 * 1024 * 1024
"""A larger file is no configuration; the largest known example has 20 KiB."""
PING_DEFAULT_S = 20.0
"""Ping interval and timeout where config.yaml gives null or 0 (truss.md section 1.4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrussConfig:
    """What config.yaml says, with defaults filled in."""

    model_name: str
    """Name under which it is served; that of the folder when config.yaml gives none."""
    description: str
    """Empty when there is none."""
    model_metadata: dict[Any, Any]
    """The user's own; `example_model_input` and `tags` have a known meaning."""
    examples_filename: str
    model_module_dir: str
    model_class_filename: str
    model_class_name: str
    data_dir: str
    bundled_packages_dir: str
    external_package_dirs: tuple[str, ...]
    """Relative to the Truss directory; may lead out of it."""
    python_version: str | None
    """For example "3.11"; None when the file does not say."""
    base_image: BaseImage | None
    requirements: tuple[str, ...]
    """Lines as in a requirements.txt; empty when `requirements_file` is set."""
    requirements_file: str | None
    """A requirements.txt, pyproject.toml or uv.lock inside the Truss directory."""
    system_packages: tuple[str, ...]
    build_commands: tuple[str, ...]
    environment_variables: dict[str, str]
    external_data: tuple[ExternalData, ...]
    model_cache: tuple[ModelCacheItem, ...]
    """Empty when `weights` is not."""
    weights: tuple[WeightsItem, ...]
    resources: Resources
    secrets: dict[str, str | None]
    """Declared names with their default values."""
    transport: Transport
    predict_concurrency: int
    streaming_read_timeout_s: float
    """Longest time between two chunks of a streamed result."""
    enable_tracing_data: bool
    enable_debug_logs: bool
    health_checks: HealthChecks
    docker_server: DockerServer | None
    """Set when the deployment brings its own server instead of a model class."""
    penstock: PenstockSettings
    raw: dict[str, Any]
    """The whole file as it stands, unknown keys included; what a model gets as `config`."""
    warnings: tuple[Problem, ...]
    """Doubtful things that hinder nothing, in the order of the file."""

    @property
    def gpus(self) -> int:
        """GPUs that one replica needs for itself."""
        return self.resources.gpus

    @property
    def startup_timeout_s(self) -> float:
        """Time for import, __init__ and load together."""
        return self.health_checks.startup_threshold_s

    @property
    def has_docker_server(self) -> bool:
        """Whether the deployment brings its own server instead of a model class."""
        return self.docker_server is not None


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
    config = read_config(document, Section.top(document, problems, warnings), name_default)
    if problems:
        raise ConfigError(sorted(problems, key=_place))
    return replace(config, warnings=tuple(sorted(warnings, key=_place)))


def read_config(document: Document, top: Section, name_default: str) -> TrussConfig:
    """Reads every key of `top`, the top section of `document`; what it notes is not in the result."""
    runtime_section = top.section("runtime")
    runtime = read_runtime(runtime_section)
    warn_unused(runtime_section, "runtime")
    runtime_section.warn_unknown()
    resources_section = top.section("resources")
    resources = read_resources(resources_section)
    warn_unused(resources_section, "resources")
    resources_section.warn_unknown()
    build_section = top.section("build")
    warn_unused(build_section, "build")
    build_section.warn_unknown()
    requirements, requirements_file = _requirements(top)
    config = TrussConfig(
        model_name=_model_name(top, name_default),
        description=top.optional_text("description") or "",
        model_metadata=top.mapping("model_metadata"),
        examples_filename=top.path("examples_filename", "examples.yaml"),
        model_module_dir=top.path("model_module_dir", "model"),
        model_class_filename=top.path("model_class_filename", "model.py"),
        model_class_name=top.text("model_class_name", "Model"),
        data_dir=top.path("data_dir", "data"),
        bundled_packages_dir=top.path("bundled_packages_dir", "packages"),
        external_package_dirs=top.texts("external_package_dirs"),
        python_version=read_python_version(top),
        base_image=read_base_image(top),
        requirements=requirements,
        requirements_file=requirements_file,
        system_packages=top.texts("system_packages"),
        build_commands=top.texts("build_commands"),
        environment_variables=_environment_variables(top, resources.gpus),
        external_data=read_external_data(top),
        model_cache=read_model_cache(top),
        weights=read_weights(top),
        resources=resources,
        secrets=_secrets(top),
        transport=runtime.transport,
        predict_concurrency=runtime.predict_concurrency,
        streaming_read_timeout_s=runtime.streaming_read_timeout_s,
        enable_tracing_data=runtime.enable_tracing_data,
        enable_debug_logs=runtime.enable_debug_logs,
        health_checks=runtime.health_checks,
        docker_server=read_docker_server(top),
        penstock=read_settings(
            top.section("penstock"),
            transport_ping_interval_s=runtime.transport.ping_interval_seconds or PING_DEFAULT_S,
            transport_ping_timeout_s=runtime.transport.ping_timeout_seconds or PING_DEFAULT_S,
        ),
        raw=document.data,
        warnings=(),
    )
    if config.weights and config.model_cache:
        top.refuse("weights", "stands beside model_cache, which it replaces; write only one of the two")
    warn_unused(top, "")
    top.warn_unknown()
    return config


def _place(problem: Problem) -> tuple[int, int]:
    return problem.line or 0, problem.column or 0


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


def _requirements(top: Section) -> tuple[tuple[str, ...], str | None]:
    requirements = top.texts("requirements")
    file = top.optional_path("requirements_file", "the Truss directory")
    if requirements and file:
        top.refuse("requirements_file", "stands beside requirements; write only one of the two")
    return requirements, file


def _environment_variables(top: Section, gpus: int) -> dict[str, str]:
    variables = {name: value or "" for name, value in top.scalars("environment_variables").items()}
    inner = top.inside("environment_variables")
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
