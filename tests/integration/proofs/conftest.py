"""One platform with the prover for the tests that leave it as it was; those that break it start their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from penstock_testing.platform import Platform, running_platform
from penstock_testing.prover import Prover, write_prover
from penstock_testing.static_platform import wait_until

SETTLE_SECONDS = 15.0
"""How long slots may take to be given back and reported."""


@pytest.fixture(scope="session")
def prover(tmp_path_factory: pytest.TempPathFactory) -> Prover:
    return write_prover(tmp_path_factory.mktemp("truss"), autoscaling={"max_concurrency": 4000})


@pytest.fixture(scope="session")
def shared_platform(prover: Prover) -> Iterator[Platform]:
    with running_platform([prover.model_dir]) as platform:
        yield platform


@pytest.fixture
def platform(shared_platform: Platform) -> Iterator[Platform]:
    """The shared platform; the test fails when it leaves a stream or a dead process behind."""
    pids = {kind: shared_platform.pids(kind) for kind in ("controller", "edge", "runner")}
    yield shared_platform
    wait_until(lambda: shared_platform.active_streams() == 0, SETTLE_SECONDS, "every slot is given back")
    assert {kind: shared_platform.pids(kind) for kind in pids} == pids


@pytest.fixture
def url(platform: Platform) -> str:
    """The prover's WebSocket."""
    return platform.websocket("prover")
