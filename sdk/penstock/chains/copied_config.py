"""The config.yaml of a Truss directory that becomes a chainlet as it stands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import yaml

from penstock.chains.generated_requirements import left_out
from penstock.chains.names import METADATA_KEY


@dataclass(frozen=True, slots=True)
class CopiedConfig:
    """What becomes of a config.yaml."""

    text: str
    warnings: tuple[str, ...] = ()


def copied_config(config: str, *, name: str, chain: str, chainlet: str) -> CopiedConfig:
    """Returns a config.yaml for its place in a chain. Unknown keys stay, comments get lost.

    Requirements that install Truss are left out: it would hide this platform's own chains, and with them the siblings
    that a `TrussHandle` in the model finds.

    Args:
        config: The text of a config.yaml that is valid.
        name: Of the deployment.
        chain: Name of the chain.
        chainlet: Display name.
    """
    data: dict[str, Any] = yaml.safe_load(config) or {}
    data = {"model_name": name} | data | {"model_name": name}
    data["model_metadata"] = {
        **(data.get("model_metadata") or {}),
        METADATA_KEY: {"chain": chain, "chainlet": chainlet, "is_entrypoint": False},
    }
    warnings: list[str] = []
    if isinstance(data.get("requirements"), list):
        data["requirements"] = list(_kept(data["requirements"], warnings))
    return CopiedConfig(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), tuple(warnings))


def copied_requirements(text: str) -> CopiedConfig:
    """Returns a file of requirements without the lines that install Truss."""
    warnings: list[str] = []
    kept = "".join(f"{line}\n" for line in _kept(text.splitlines(), warnings))
    return CopiedConfig(kept if warnings else text, tuple(warnings))


def _kept(lines: Iterable[Any], warnings: list[str]) -> Iterable[Any]:
    for line in lines:
        warning = left_out(line) if isinstance(line, str) else ""
        if warning:
            warnings.append(warning)
        else:
            yield line
