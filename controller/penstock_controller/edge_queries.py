"""Questions to the connected edges: which streams are open, end these streams."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from penstock.api.control.v1 import control_pb2

ANSWER_S = 2.0
"""Time for the answers; an edge without one is named as silent."""

Answer = control_pb2.OpenStreamList | control_pb2.EndedStreams
T = TypeVar("T", control_pb2.OpenStreamList, control_pb2.EndedStreams)


class EdgeLink(Protocol):
    """The call of one edge."""

    def send(self, response: control_pb2.WatchResponse) -> bool:
        """Hands a question over; returns False when the edge takes none."""
        ...


@dataclass(frozen=True, slots=True)
class Answers(Generic[T]):
    """What the edges have answered, and which have not."""

    by_edge: Mapping[str, T]
    silent: tuple[str, ...]


class EdgeQueries:
    """Asks all edges, and gathers their answers."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._links: dict[str, EdgeLink] = {}
        self._waiting: dict[tuple[int, str], asyncio.Future[Answer]] = {}

    def connected(self, edge_id: str, link: EdgeLink) -> None:
        self._links[edge_id] = link

    def gone(self, edge_id: str, link: EdgeLink) -> None:
        if self._links.get(edge_id) is link:
            del self._links[edge_id]

    def answered(self, edge_id: str, answer: Answer) -> None:
        """An edge has answered. Late answers are dropped."""
        future = self._waiting.pop((answer.query_id, edge_id), None)
        if future is not None and not future.done():
            future.set_result(answer)

    async def list_streams(
        self, *, deployment_id: str, replica_id: str, limit: int
    ) -> Answers[control_pb2.OpenStreamList]:
        query = control_pb2.ListOpenStreams(
            query_id=next(self._ids), deployment_id=deployment_id, replica_id=replica_id, limit=limit
        )
        response = control_pb2.WatchResponse(list_open_streams=query)
        return await self._ask(query.query_id, response, control_pb2.OpenStreamList)

    async def end_streams(
        self, stream_ids: list[str], close_code: int, reason: str
    ) -> Answers[control_pb2.EndedStreams]:
        query = control_pb2.EndOpenStreams(
            query_id=next(self._ids), stream_ids=stream_ids, close_code=close_code, reason=reason
        )
        response = control_pb2.WatchResponse(end_open_streams=query)
        return await self._ask(query.query_id, response, control_pb2.EndedStreams)

    async def _ask(self, query_id: int, response: control_pb2.WatchResponse, kind: type[T]) -> Answers[T]:
        asked: dict[str, asyncio.Future[Answer]] = {}
        silent = []
        for edge_id, link in self._links.items():
            if link.send(response):
                asked[edge_id] = asyncio.get_running_loop().create_future()
                self._waiting[query_id, edge_id] = asked[edge_id]
            else:
                silent.append(edge_id)
        try:
            if asked:
                await asyncio.wait(asked.values(), timeout=ANSWER_S)
        finally:
            for edge_id in asked:
                self._waiting.pop((query_id, edge_id), None)
        answers: dict[str, T] = {}
        for edge_id, future in asked.items():
            answer = future.result() if future.done() else None
            if isinstance(answer, kind):
                answers[edge_id] = answer
            else:
                silent.append(edge_id)
        return Answers(answers, tuple(sorted(silent)))
