"""A platform with the prover for the tests of a module that leave it as it was; those that break it start their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from penstock_testing.platform import Platform, running_platform
from penstock_testing.prover import Prover, write_prover
from penstock_testing.static_platform import wait_until

SETTLE_SECONDS = 15.0
"""How long slots may take to be given back and reported."""


@pytest.fixture(scope="module")
def prover(tmp_path_factory: pytest.TempPathFactory) -> Prover:
    return write_prover(tmp_path_factory.mktemp("truss"), autoscaling={"max_concurrency": 4000})


@pytest.fixture(scope="module")
def shared_platform(prover: Prover) -> Iterator[Platform]:
    with running_platform([prover.model_dir]) as platform:
        yield platform


@pytest.fixture
def platform(shared_platform: Platform, processes: set[int]) -> Iterator[Platform]:
    """The shared platform; the test fails when it leaves a stream or a dead process behind."""
    yield shared_platform
    wait_until(lambda: shared_platform.active_streams() == 0, SETTLE_SECONDS, "every slot is given back")
    assert _processes(shared_platform) == processes


@pytest.fixture(scope="module")
def processes(shared_platform: Platform) -> set[int]:
    return _processes(shared_platform)


def _processes(platform: Platform) -> set[int]:
    """The pids that the controller knows, its own included."""
    status = platform.status()
    return {status["controller"]["pid"], *(part["pid"] for part in status["edges"] + status["replicas"])}


@pytest.fixture
def url(platform: Platform) -> str:
    """The prover's WebSocket."""
    return platform.websocket("prover")
