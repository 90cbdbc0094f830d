"""The Truss of tests/integration/proofs, with settings that a test chooses, and what it has noted."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import uvloop
from websockets.asyncio.client import ClientConnection, connect

from penstock_testing.source_tree import ROOT
from penstock_testing.static_platform import wait_until

_MODEL = ROOT / "tests" / "integration" / "proofs" / "prover" / "model"

MESSAGE_BYTES_MAX = 1 << 30
"""Far above every limit of the platform, so that only the platform's own limit can be met."""


@dataclass(frozen=True, slots=True)
class Prover:
    """The Truss on disk, and the file that it writes."""

    name: str
    model_dir: Path
    file: Path

    def notes(self, case: str) -> list[dict[str, Any]]:
        """What the model has noted of the streams of `case` so far."""
        lines = self.file.read_text().splitlines(keepends=True)
        notes = [json.loads(line) for line in lines if line.endswith("\n")]
        return [note for note in notes if note["case"] == case]

    def wait_notes(self, case: str, count: int = 1, seconds: float = 15.0) -> list[dict[str, Any]]:
        """The notes of `case`, as soon as there are `count`."""
        wait_until(lambda: len(self.notes(case)) >= count, seconds, f"{count} notes on {case}")
        return self.notes(case)


def write_prover(folder: Path, name: str = "prover", **penstock: object) -> Prover:
    """Writes the Truss into `folder`; `penstock` is what stands under that key in config.yaml."""
    model_dir, file = folder / name, folder / f"{name}.jsonl"
    shutil.copytree(_MODEL, model_dir / "model", ignore=shutil.ignore_patterns("__pycache__"))
    config = {
        "model_name": name,
        "environment_variables": {"PROVER_FILE": str(file)},
        "runtime": {"transport": {"kind": "websocket"}},
        "penstock": penstock,
    }
    # JSON is YAML.
    (model_dir / "config.yaml").write_text(json.dumps(config, indent=2))
    file.touch()
    return Prover(name, model_dir, file)


_T = TypeVar("_T")


def run(scenario: Coroutine[Any, Any, _T]) -> _T:
    """Runs a test's clients. On uvloop, to take little of the machine that they measure."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(scenario)


@asynccontextmanager
async def ordered(url: str, do: str, case: str = "", **arguments: object) -> AsyncIterator[ClientConnection]:
    """A stream whose model has been told what to do, with a client that checks the protocol strictly."""
    async with connect(
        url, max_size=MESSAGE_BYTES_MAX, compression=None, open_timeout=30, ping_interval=None
    ) as client:
        await client.send(json.dumps({"do": do, "case": case, **arguments}))
        yield client


async def answer(client: ClientConnection) -> Any:
    """The next message, which is JSON."""
    return json.loads(await client.recv())
