"""What another content of a chain's Trusses asks for: nothing, new code in the replicas, or a new version."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from penstock.chains.generated import GeneratedChain, GeneratedChainlet
from penstock.cli.up.watched_change import Effect, Layout
from penstock.truss import ConfigError, TrussConfig, load_config


def effect_of(
    before: GeneratedChain, after: GeneratedChain, read_config: Callable[[Path], TrussConfig] = load_config
) -> Effect:
    """Returns what has to be done after `after` was written in place of `before`. Reads each config.yaml."""
    if _shape(before) != _shape(after):
        return Effect.REDEPLOY
    return max((_effect(each, read_config) for each in after.chainlets), default=Effect.NOTHING)


def _shape(chain: GeneratedChain) -> list[tuple[object, ...]]:
    """Returns what the controller knows of a chain."""
    return sorted((each.display_name, each.is_entrypoint, sorted(each.dependencies)) for each in chain.chainlets)


def _effect(chainlet: GeneratedChainlet, read_config: Callable[[Path], TrussConfig]) -> Effect:
    if not chainlet.changed:
        return Effect.NOTHING
    try:
        config = read_config(chainlet.directory)
    except ConfigError:
        # The controller says what is wrong.
        return Effect.REDEPLOY
    # Files beside config.yaml say what is installed.
    if any("/" not in path for path in chainlet.changed):
        return Effect.REDEPLOY
    return Layout.of(config, config.external_package_dirs).effect(chainlet.changed)
