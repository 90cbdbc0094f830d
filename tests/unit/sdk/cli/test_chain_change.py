from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from penstock.chains.generated import GeneratedChain, GeneratedChainlet
from penstock.cli.chains.chain_change import effect_of
from penstock.cli.up.watched_change import Effect
from penstock.truss import ConfigError, TrussConfig, parse_config

INNER = GeneratedChainlet("Inner", Path("/t/inner"), False, ())
ENTRY = GeneratedChainlet("Entry", Path("/t/entry"), True, ("Inner",))
CHAIN = GeneratedChain("hello", (INNER, ENTRY))


def read_config(directory: Path) -> TrussConfig:
    return parse_config(b"external_package_dirs: [external/0-x]", name_default="m")


def effect(*chainlets: GeneratedChainlet) -> Effect:
    return effect_of(CHAIN, GeneratedChain("hello", chainlets), read_config)


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("packages/lib/a.py", Effect.RELOAD),
        ("model/model.py", Effect.RELOAD),
        ("external/0-x/b.py", Effect.RELOAD),
        ("data/words.txt", Effect.NOTHING),
        ("config.yaml", Effect.REDEPLOY),
        ("pip_requirements.txt", Effect.REDEPLOY),
        ("constraints_0.txt", Effect.REDEPLOY),
    ],
)
def test_what_was_written_decides(path: str, wanted: Effect) -> None:
    assert effect(replace(INNER, changed=(path,)), ENTRY) is wanted


def test_nothing_written_asks_for_nothing() -> None:
    assert effect(INNER, ENTRY) is Effect.NOTHING


@pytest.mark.parametrize(
    "chainlets",
    [
        (ENTRY,),
        (INNER, replace(ENTRY, dependencies=())),
        (replace(INNER, is_entrypoint=True), replace(ENTRY, is_entrypoint=False)),
    ],
    ids=["another set", "other calls", "another entrypoint"],
)
def test_another_shape_is_another_version(chainlets: tuple[GeneratedChainlet, ...]) -> None:
    assert effect(*chainlets) is Effect.REDEPLOY


def test_a_config_that_cannot_be_read_is_the_controllers_to_refuse() -> None:
    def refuse(directory: Path) -> TrussConfig:
        raise ConfigError([])

    after = GeneratedChain("hello", (replace(INNER, changed=("packages/a.py",)), ENTRY))
    assert effect_of(CHAIN, after, refuse) is Effect.REDEPLOY
