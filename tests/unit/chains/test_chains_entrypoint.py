"""Marking the entrypoint."""

from __future__ import annotations

from typing import Any

import pytest

from penstock import chains
from penstock.chains.errors import ChainsUsageError
from penstock_testing.chain_kit import Define

RUN = "\n    async def run_remote(self) -> int: ...\n"


def test_an_entrypoint_is_marked_bare_or_with_the_name_of_the_chain(define: Define) -> None:
    module = define(
        f"@chains.mark_entrypoint\nclass A(chains.ChainletBase):{RUN}"
        f"@chains.mark_entrypoint('My Chain')\nclass B(chains.ChainletBase):{RUN}"
        f"class C(A):{RUN}"
    )

    marks = [(each.meta_data.is_entrypoint, each.meta_data.chain_name) for each in (module.A, module.B, module.C)]
    assert marks == [(True, None), (True, "My Chain"), (False, None)]


@pytest.mark.parametrize("marked", [int, 3, chains])
def test_only_chainlets_can_be_marked(marked: Any) -> None:
    for mark in (chains.mark_entrypoint, chains.mark_entrypoint("name")):
        with pytest.raises(ChainsUsageError, match="`mark_entrypoint` can only be applied to chainlet classes"):
            mark(marked)
