"""A real edge and a real runner with a model that does what the first message tells it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock_testing.static_platform import StaticPlatform, static_platform

MODEL = """
import json

class Model:
    async def websocket(self, websocket):
        order = json.loads(await websocket.receive_text())
        match order["do"]:
            case "echo":
                while True:
                    message = await websocket.receive()
                    if message["type"] == "websocket.disconnect":
                        return
                    if message.get("text") is not None:
                        await websocket.send_text(message["text"])
                    else:
                        await websocket.send_bytes(message["bytes"])
            case "headers":
                await websocket.send_json(dict(websocket.headers))
            case "raise":
                raise RuntimeError("the model's own")
            case "close":
                await websocket.close(order["code"], order["reason"])
            case "flood":
                for _ in range(order["count"]):
                    await websocket.send_bytes(b"x" * order["size"])
            case "return":
                return
"""

CONFIG = """
model_name: obedient
runtime:
  transport:
    kind: websocket
penstock:
  autoscaling:
    max_concurrency: 4
"""


@pytest.fixture(scope="session")
def running_platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StaticPlatform]:
    model_dir: Path = tmp_path_factory.mktemp("truss") / "obedient"
    (model_dir / "model").mkdir(parents=True)
    (model_dir / "config.yaml").write_text(CONFIG)
    (model_dir / "model" / "model.py").write_text(MODEL)
    with static_platform(model_dir, tmp_path_factory.mktemp("platform"), model="obedient") as platform:
        yield platform


@pytest.fixture
def platform(running_platform: StaticPlatform) -> Iterator[StaticPlatform]:
    """The platform; the test fails when it leaves a stream or a dead process behind."""
    yield running_platform
    running_platform.assert_sound(may_log_tracebacks=True)
