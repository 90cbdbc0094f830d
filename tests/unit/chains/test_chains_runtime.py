from __future__ import annotations

from typing import cast

from penstock.chains.remote import runtime
from penstock.chains.remote.runtime import ChainRuntime


def test_what_is_installed_is_the_processs_until_it_is_taken_away() -> None:
    assert runtime.installed() is None
    made = cast(ChainRuntime, object())

    runtime.install(made)
    assert runtime.installed() is made

    runtime.install(None)
    assert runtime.installed() is None
