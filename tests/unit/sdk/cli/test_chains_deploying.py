from __future__ import annotations

import sys
from pathlib import Path

import pytest

from penstock.chains.generated import GeneratedChain, GeneratedChainlet
from penstock.cli.chains.deploying import spec_of, upload_chain
from penstock.cli.command_error import CommandError
from penstock.cli.progress_line import ProgressLine

CHAIN = GeneratedChain(
    "hello",
    (
        GeneratedChainlet("RandInt", Path("/t/chainlet_RandInt"), False, ()),
        GeneratedChainlet("Hi", Path("/t/chainlet_Hi"), True, ("RandInt",)),
    ),
)


def test_a_chain_may_be_made_of_directories() -> None:
    spec = spec_of(CHAIN, replicas=2)
    assert (spec.replicas, spec.environment) == (2, "")
    assert [(each.source, each.artifact) for each in spec.chainlets] == [
        ("/t/chainlet_RandInt", ""),
        ("/t/chainlet_Hi", ""),
    ]


def test_a_chain_may_be_made_of_artifacts() -> None:
    spec = spec_of(CHAIN, environment="dev", artifacts={"RandInt": "a", "Hi": "b"})
    assert [(each.source, each.artifact) for each in spec.chainlets] == [("", "a"), ("", "b")]
    assert not spec.HasField("replicas")


def test_a_truss_that_cannot_be_packed_is_named(tmp_path: Path) -> None:
    gone = GeneratedChain("hello", (GeneratedChainlet("Hi", tmp_path / "gone", True, ()),))
    with pytest.raises(CommandError, match=r"^Hi: config\.yaml: there is no folder"):
        upload_chain(None, gone, ProgressLine(sys.stderr))  # type: ignore[arg-type]  # it is not asked
