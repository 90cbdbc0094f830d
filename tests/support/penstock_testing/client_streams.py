"""Holders of streams at the edge, without a connection: what `open_streams.ClientStream` asks for, in plain fields."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from penstock.api.control.v1 import control_pb2
from penstock_edge.open_streams import ClientStream, OpenStreams
from penstock_edge.routing import Deployment
from penstock_edge.settings import StreamSettings


def deployment(deployment_id: str = "echo-1", name: str = "echo") -> Deployment:
    return Deployment(deployment_id, name, False, ("production", "qa"), (), StreamSettings())


@dataclass
class FakeClientStream:
    """A stream that notes how it was ended. It stays in the registry until a test takes it out."""

    transport_name: ClassVar[str] = "websocket"

    stream_id: str = "s-1"
    deployment: Deployment = field(default_factory=deployment)
    replica_id: str = "r-1"
    opened_at: float = 0.0
    bytes_in: int = 100
    bytes_out: int = 200
    messages_in: int = 3
    messages_out: int = 4
    client: str = "10.0.0.1:999"
    last_message_at: float = 0.0
    ended: tuple[int, str] | None = None

    def client_address(self) -> str:
        return self.client

    def silent_for(self, now: float) -> float:
        return now - self.last_message_at

    def end_by_operator(self, close_code: int, reason: str) -> bool:
        if self.ended is not None:
            return False
        self.ended = (close_code, reason)
        return True


def registry(*streams: ClientStream, now: float = 0.0) -> OpenStreams:
    made = OpenStreams("edge-test", lambda: now)
    for stream in streams:
        made.add(stream)
    return made


async def list_streams(streams: OpenStreams, **query: Any) -> control_pb2.OpenStreamList:
    answer = control_pb2.OpenStreamList()
    await streams.answer_list(control_pb2.ListOpenStreams(query_id=7, **query), answer)
    assert answer.query_id == 7
    return answer


async def end_streams(streams: OpenStreams, ids: Iterable[str], close_code: int = 0, reason: str = "") -> list[str]:
    answer = control_pb2.EndedStreams()
    order = control_pb2.EndOpenStreams(query_id=9, stream_ids=ids, close_code=close_code, reason=reason)
    await streams.answer_end(order, answer)
    assert answer.query_id == 9
    return list(answer.stream_ids)
