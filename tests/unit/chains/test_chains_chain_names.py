from __future__ import annotations

import pytest

from penstock.chains.chain_names import chain_slug, deployment_name
from penstock.chains.errors import ChainsUsageError


@pytest.mark.parametrize(
    ("name", "slug"),
    [("My Chain Name", "my-chain-name"), ("HelloWorld", "helloworld"), ("a_b", "a_b"), (" Ünder! ", "nder")],
)
def test_names_become_parts_of_addresses(name: str, slug: str) -> None:
    assert chain_slug(name) == slug


@pytest.mark.parametrize("name", ["", "!!", "x" * 41], ids=["empty", "marks", "long"])
def test_what_gives_no_name_is_refused(name: str) -> None:
    with pytest.raises(ChainsUsageError, match=r"must give 1 to 40 of .* with --name"):
        chain_slug(name)


def test_inner_chainlets_are_named_behind_their_chain() -> None:
    assert deployment_name("hello", "RandInt", is_entrypoint=False) == "hello.RandInt"
    assert deployment_name("hello", "HelloWorld", is_entrypoint=True) == "hello"
