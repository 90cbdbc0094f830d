"""Requests while a model loads: they wait for it (truss.md sections 2.1, 2.3 and 5)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from penstock.api.control.v1 import control_pb2
from penstock_testing.bare_platform import BarePlatform, bare_platform
from penstock_testing.static_platform import wait_until
from penstock_testing.truss_conformance import ANSWER_SECONDS, MODELS, ModelDoor

LOOKS = ("models/model", "models/model/loaded", "models/model/schema")


def is_loading(platform: BarePlatform) -> bool:
    return any(replica.state == control_pb2.REPLICA_STATE_STARTING for replica in platform.status().replicas)


def test_a_request_waits_for_a_model_that_loads_and_who_only_looks_is_told_503(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = tmp_path / "release"
    monkeypatch.setenv("LOAD_UNTIL", str(release))
    with bare_platform(tmp_path) as platform, ThreadPoolExecutor(1) as threads:
        model = ModelDoor(platform.start_edge().removeprefix("ws://"), "slow-load")
        platform.apply(MODELS / "slow_load")
        wait_until(lambda: model.get("predict").status == 405, ANSWER_SECONDS, "the edge knows the model")

        try:
            asked = threads.submit(model.call, None)
            wait_until(lambda: is_loading(platform), ANSWER_SECONDS, "the model loads")
            looked = [model.get(f"sync/v1/{path}") for path in LOOKS]
            was_done = asked.done()
        finally:
            release.touch()
        answer = asked.result(ANSWER_SECONDS)

        assert [each.status for each in looked] == [503] * len(LOOKS)
        assert not was_done
        assert (answer.status, answer.json()["took"] > 0) == (200, True)
        assert model.get("sync/v1/models/model").status == 200
