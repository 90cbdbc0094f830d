"""Descriptions of chainlets."""

from __future__ import annotations

from collections.abc import AsyncIterator

from penstock.chains.description import Argument, Dependency, EndpointDescription, EndpointKind
from penstock.chains.options import RPCOptions


def test_the_stream_argument_is_the_one_with_items() -> None:
    stream = Argument("audio", AsyncIterator[bytes], item_type=bytes)
    arguments = (Argument("language", str), stream)

    assert (
        EndpointDescription("run_remote", EndpointKind.CONVERSATION, True, arguments, (str,)).stream_argument is stream
    )
    assert EndpointDescription("run_remote", EndpointKind.UNARY, True, arguments[:1], (str,)).stream_argument is None


def test_a_dependency_has_the_name_of_its_chainlet() -> None:
    class Named:
        display_name = "Other"

    assert Dependency("parameter", Named, RPCOptions()).display_name == "Other"
