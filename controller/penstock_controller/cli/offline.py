"""Looks at what serves when the controller cannot be reached: each runner of its state folder is asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from penstock_controller.actuators.process_table import RunRecord, live_records
from penstock_controller.cli.render.offline import LivingRunner

ANSWER_S = 1.0
"""For the answer of a runner; they are all asked at once."""

ASKED_MAX = 256
"""Runners that are asked; of those beyond only the process is looked at."""


def still_serving(state_dir: Path) -> list[LivingRunner]:
    """Returns the runners whose processes live, by replica id. Takes ANSWER_S and a little more at most."""
    records = sorted(live_records(state_dir / "run"), key=lambda record: record.replica_id)
    answers = _ask([record.address for record in records])
    return [_runner(record, admits, state_dir) for record, admits in zip(records, answers, strict=True)]


def _runner(record: RunRecord, admits: bool | None, state_dir: Path) -> LivingRunner:
    told = _run_file(state_dir / "run" / f"{record.replica_id}.json")
    return LivingRunner(
        replica_id=record.replica_id,
        deployment_id=record.deployment_id,
        pid=record.process.pid,
        address=record.address,
        admits=admits,
        active_streams=_count(told, "active_streams"),
        stream_capacity=_count(told, "stream_capacity"),
    )


def _ask(addresses: Sequence[str]) -> list[bool | None]:
    """Asks the health service at each address whether streams are admitted; None where there is no answer."""
    calls: list[tuple[grpc.Channel, Any] | None] = []
    try:
        for address in addresses:
            calls.append(_call(address) if address and len(calls) < ASKED_MAX else None)
        return [None if call is None else _answer(call[1]) for call in calls]
    finally:
        for call in calls:
            if call is not None:
                call[0].close()


def _call(address: str) -> tuple[grpc.Channel, Any]:
    channel = grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)])
    stub: Any = health_pb2_grpc.HealthStub(channel)
    return channel, stub.Check.future(health_pb2.HealthCheckRequest(), timeout=ANSWER_S)


def _answer(call: Any) -> bool | None:
    try:
        return bool(call.result().status == health_pb2.HealthCheckResponse.SERVING)
    except grpc.RpcError:
        return None


def _run_file(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _count(content: dict[str, Any], key: str) -> int | None:
    value = content.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
