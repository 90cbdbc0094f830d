"""Replicas follow requests that run and wait (`metric: requests`), with real processes."""

from __future__ import annotations

import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from penstock_testing.bare_platform import bare_platform
from penstock_testing.static_platform import wait_until

LIMIT_S = 60.0

MODEL = """\
import asyncio
import pathlib

class Model:
    async def predict(self, gate):
        while not pathlib.Path(gate).exists():
            await asyncio.sleep(0.02)
        return "done"
"""

SETTINGS = """\
model_name: gated
runtime: {predict_concurrency: 2}
penstock:
  autoscaling: {metric: requests, max_concurrency: 2, max_replica: 2, autoscaling_window: 10}
"""


def test_requests_that_wait_bring_a_second_replica_and_all_are_answered(tmp_path: Path) -> None:
    (tmp_path / "gated" / "model").mkdir(parents=True)
    (tmp_path / "gated" / "model" / "model.py").write_text(MODEL)
    (tmp_path / "gated" / "config.yaml").write_text(SETTINGS)
    gate = tmp_path / "gate"
    with bare_platform(tmp_path) as platform, ThreadPoolExecutor(4) as clients:
        platform.apply(tmp_path / "gated")
        url = platform.start_edge().replace("ws://", "http://")
        wait_until(lambda: len(platform.ready()) == 1, LIMIT_S, "the first replica is ready")

        def ask(_: int) -> object:
            request = urllib.request.Request(f"{url}/model/gated/predict", data=json.dumps(str(gate)).encode())
            with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
                return json.loads(answer.read())

        answers = [clients.submit(ask, number) for number in range(4)]
        try:
            wait_until(lambda: len(platform.ready()) == 2, LIMIT_S, "a second replica is ready")
            wait_until(lambda: sum(r.active_streams for r in platform.ready()) == 4, LIMIT_S, "all requests run")
            decision = platform.status().deployments[0].last_decision
        finally:
            gate.touch()

        assert [answer.result(LIMIT_S) for answer in answers] == ["done"] * 4
        assert (decision.rule, decision.to_replicas) == ("window", 2)
