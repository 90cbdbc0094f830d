"""config.yaml of a chainlet's generated Truss, out of its `remote_config`. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pydantic
import yaml

from penstock.chains.abc_chainlet import EntityType
from penstock.chains.description import ChainletDescription, EndpointKind
from penstock.chains.errors import ChainsUsageError
from penstock.chains.generated_requirements import WantedPackages
from penstock.chains.names import CHAIN_API_KEY_SECRET, METADATA_KEY
from penstock.chains.remote_config import BasetenImage, CustomImage, RemoteConfig
from penstock.truss import ConfigError, parse_config

OWN_SECTION = "penstock"
"""Key of `options.metadata` whose content goes into the section of this name: scaling, limits and routes."""

CALLED_SETTINGS: Mapping[str, Any] = {
    # Nobody waits for the answer to a call whose caller is gone, and its own calls would go on.
    "cancel_on_disconnect": True,
    "limits": {"disconnect_grace": 0.02},
}
"""Settings of every chainlet, which its author may change."""
INNER_SETTINGS: Mapping[str, Any] = {
    # One caller may have 300 calls under way (`concurrency_limit`), each with its own limit (`timeout_sec`: 600 s).
    # All of them wait while a callee wakes from zero and loads its weights.
    "limits": {"queue_timeout": 600, "queue_streams_max": 1000},
}
"""The same, of chainlets that others call."""
_WEBSOCKET_KINDS = (EndpointKind.WEBSOCKET, EndpointKind.CONVERSATION)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a chainlet stands in its chain, and its code in the generated Truss."""

    chain: str
    name: str
    """Of its deployment."""
    module: str
    class_name: str
    is_entrypoint: bool


def python_version(
    config: RemoteConfig, *, platform_minor: str, is_available: Callable[[str], bool]
) -> tuple[str | None, str]:
    """Returns `python_version`, and a warning; each may be empty.

    An image that nobody chose asks for no version, and one that is not on this machine would only hinder: the chainlet
    runs on Penstock's own then.

    Args:
        platform_minor: Version of the Python that runs Penstock, such as "3.11".
        is_available: Whether this machine has a Python of a version that Penstock can run with.
    """
    image = config.docker_image.base_image
    if "base_image" not in config.docker_image.model_fields_set or not isinstance(image, BasetenImage):
        return None, ""
    minor = f"3.{image.value.removeprefix('py3')}"
    if minor == platform_minor or is_available(minor):
        return image.value, ""
    return None, f"base_image {image.value} cannot be had here: it runs on Python {platform_minor}, that of Penstock"


def config_of(
    described: ChainletDescription,
    place: Place,
    packages: WantedPackages,
    *,
    version: str | None,
    external: Sequence[str],
) -> dict[str, Any]:
    """Returns what stands in config.yaml; what is as by default is left out.

    Args:
        version: `python_version`.
        external: `external_package_dirs`, relative.
    """
    config: RemoteConfig = described.chainlet.remote_config  # type: ignore[attr-defined]  # every chainlet class has one
    options = config.options
    assets = config.get_asset_spec()
    found: dict[str, Any] = {
        "model_name": place.name,
        "python_version": version,
        "base_image": _image(config),
        "requirements": list(packages.lines),
        "requirements_file": packages.file,
        "system_packages": list(config.docker_image.apt_requirements),
        "build_commands": list(config.build_commands),
        "external_package_dirs": list(external),
        "environment_variables": dict(options.env_variables),
        "secrets": dict.fromkeys([*assets.secrets, *([CHAIN_API_KEY_SECRET] if described.has_context else [])]),
        "resources": _resources(config),
        "runtime": _runtime(described, config),
        "model_cache": [_plain(item) for item in assets.cached],
        "external_data": [_plain(item) for item in assets.external_data],
        "weights": [_plain(item) for item in assets.weights],
        "model_metadata": _metadata(described, place),
        OWN_SECTION: _settings(described, config, place),
    }
    return {key: value for key, value in found.items() if value not in (None, [], {})}


def config_text(config: Mapping[str, Any], *, where: str) -> str:
    """Returns config.yaml as text.

    Args:
        where: Names the chainlet, in errors.

    Raises:
        ChainsUsageError: Something in it has no meaning; the text lists all of it.
    """
    text = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True, width=120)
    try:
        parse_config(text.encode(), name_default="chainlet", file="remote_config")
    except ConfigError as exc:
        lines = "\n".join(f"  {problem.key}: {problem.message}" for problem in exc.problems)
        raise ChainsUsageError(f"{where}: its remote_config cannot be used:\n{lines}") from None
    return text


def config_warnings(text: str) -> tuple[str, ...]:
    """Returns what is doubtful in a config.yaml that `config_text` made, without the positions in it."""
    found = parse_config(text.encode(), name_default="chainlet", file="remote_config").warnings
    return tuple(f"{problem.key}: {problem.message}" for problem in found)


def _image(config: RemoteConfig) -> dict[str, Any] | None:
    image = config.docker_image.base_image
    return _plain(image) if isinstance(image, CustomImage) else None


def _resources(config: RemoteConfig) -> dict[str, Any]:
    compute = config.get_compute_spec()
    found: dict[str, Any] = {"cpu": str(compute.cpu_count), "memory": compute.memory}
    if accelerator := str(compute.accelerator or ""):
        found |= {"accelerator": accelerator, "use_gpu": True}
    if compute.instance_type:
        found["instance_type"] = compute.instance_type
    return found


def _runtime(described: ChainletDescription, config: RemoteConfig) -> dict[str, Any]:
    options = config.options
    found: dict[str, Any] = {
        "predict_concurrency": config.get_compute_spec().predict_concurrency,
        "streaming_read_timeout": options.streaming_read_timeout,
    }
    if checks := _plain(options.health_checks):
        found["health_checks"] = checks
    if transport := _plain(options.transport) if options.transport is not None else {}:
        found["transport"] = transport
    elif described.endpoint is not None and described.endpoint.kind in _WEBSOCKET_KINDS:
        found["transport"] = {"kind": "websocket"}
    if options.enable_debug_logs:
        found["enable_debug_logs"] = True
    if options.enable_b10_tracing:
        found["enable_tracing_data"] = True
    return found


def _metadata(described: ChainletDescription, place: Place) -> dict[str, Any]:
    given = described.chainlet.remote_config.options.metadata  # type: ignore[attr-defined]  # every chainlet class has one
    own = {key: value for key, value in given.items() if key != OWN_SECTION} if isinstance(given, dict) else {}
    if given is not None and not isinstance(given, dict):
        own = {"metadata": given}
    return {
        **own,
        METADATA_KEY: {
            "chain": place.chain,
            "chainlet": described.display_name,
            "class": place.class_name,
            "module": place.module,
            "is_entrypoint": place.is_entrypoint,
        },
    }


def _settings(described: ChainletDescription, config: RemoteConfig, place: Place) -> dict[str, Any]:
    given = config.options.metadata
    own = given.get(OWN_SECTION) if isinstance(given, dict) else None
    entity = described.chainlet.entity_type  # type: ignore[attr-defined]  # every chainlet class has one
    defaults = CALLED_SETTINGS if entity is EntityType.CHAINLET else {}
    if not place.is_entrypoint:
        defaults = _merged(defaults, INNER_SETTINGS)
    return _merged(defaults, own if isinstance(own, dict) else {})


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(below)
    for key, value in above.items():
        inner = found.get(key)
        found[key] = _merged(inner, value) if isinstance(inner, Mapping) and isinstance(value, Mapping) else value
    return found


def _plain(item: pydantic.BaseModel) -> dict[str, Any]:
    return item.model_dump(mode="json", exclude_none=True)
