"""Options of calls and of chainlets."""

from __future__ import annotations

from typing import Any

import pydantic
import pytest

from penstock.chains import ChainletOptions, RPCOptions
from penstock.chains.truss_config import HealthChecks, WebsocketOptions
from penstock_testing.foreign_truss import foreign


def test_options_of_calls_have_the_defaults_of_truss_chains() -> None:
    assert RPCOptions().model_dump() == {
        "retries": 1,
        "timeout_sec": 600.0,
        "use_binary": False,
        "concurrency_limit": 300,
    }


@pytest.mark.parametrize("options", [{"retries": "3"}, {"use_binary": 1}, {"concurrency_limit": 2.5}])
def test_options_of_calls_are_not_converted(options: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError, match=next(iter(options))):
        RPCOptions(**options)


def test_options_are_checked_when_they_are_changed() -> None:
    options = RPCOptions(timeout_sec=5)

    with pytest.raises(pydantic.ValidationError):
        options.retries = "many"  # type: ignore[assignment]  # the test


def test_options_of_chainlets_have_the_defaults_of_truss_chains() -> None:
    assert ChainletOptions().model_dump() == {
        "enable_b10_tracing": False,
        "enable_debug_logs": False,
        "env_variables": {},
        "health_checks": HealthChecks().model_dump(),
        "metadata": None,
        "streaming_read_timeout": 60,
        "transport": None,
    }


def test_a_transport_is_one_of_ours_one_of_truss_or_a_dict() -> None:
    theirs = foreign("WebsocketOptions", kind="websocket", ping_interval_seconds=3.0)
    expected = WebsocketOptions(ping_interval_seconds=3.0)

    for given in (expected, theirs, {"kind": "websocket", "ping_interval_seconds": 3.0}):
        assert ChainletOptions(transport=given).transport == expected  # type: ignore[arg-type]  # it takes all three


def test_health_checks_are_ours_or_those_of_truss() -> None:
    theirs: Any = foreign("HealthChecks", startup_threshold_seconds=100)

    assert ChainletOptions(health_checks=theirs).health_checks == HealthChecks(startup_threshold_seconds=100)


def test_unknown_options_are_refused() -> None:
    with pytest.raises(pydantic.ValidationError, match="env_variable"):
        ChainletOptions(env_variable={"A": "b"})  # type: ignore[call-arg]  # the test
