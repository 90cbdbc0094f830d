"""A Truss that echoes, and writes down how each of its streams ended, so that tests can ask what the model was told."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from penstock_testing.static_platform import wait_until

TOLD_SECONDS = 10.0
"""How long it may take until a model knows that its client is gone; generous, only a failing test waits so long."""

_MODEL = """
import json, os
from fastapi import WebSocketDisconnect

class Model:
    async def websocket(self, websocket):
        case = websocket.query_params.get("case", "")
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                break
            try:
                if message.get("text") is not None:
                    await websocket.send_text(message["text"])
                else:
                    await websocket.send_bytes(message["bytes"])
            except WebSocketDisconnect:
                pass  # receive() says how it ended
        told = {"case": case, "code": message.get("code"), "reason": message.get("reason") or ""}
        with open(os.environ["WITNESS_FILE"], "a") as file:
            file.write(json.dumps(told) + "\\n")
"""

_CONFIG = """
model_name: witness
runtime:
  transport:
    kind: websocket
"""


@dataclass(frozen=True, slots=True)
class Witness:
    """The Truss on disk, and what it has written down."""

    model_dir: Path
    file: Path

    @property
    def environment(self) -> dict[str, str]:
        """What the runner's environment must hold."""
        return {"WITNESS_FILE": str(self.file)}

    def told(self, case: str) -> list[tuple[int, str]]:
        """Codes and reasons with which the model's streams of `?case=…` have ended so far."""
        lines = self.file.read_text().splitlines()
        return [(end["code"], end["reason"]) for end in map(json.loads, lines) if end["case"] == case]

    def wait_told(self, case: str) -> tuple[int, str]:
        """How the one stream of `?case=…` ended; waits for it."""
        wait_until(lambda: bool(self.told(case)), TOLD_SECONDS, f"the model knows that {case} has ended")
        (end,) = self.told(case)
        return end


def write_witness(folder: Path) -> Witness:
    """Writes the Truss into `folder`."""
    model_dir = folder / "witness"
    (model_dir / "model").mkdir(parents=True)
    (model_dir / "config.yaml").write_text(_CONFIG)
    (model_dir / "model" / "model.py").write_text(_MODEL)
    file = folder / "witness.jsonl"
    file.touch()
    return Witness(model_dir, file)
