from __future__ import annotations

import asyncio

import pytest

from penstock.api.control.v1 import control_pb2
from penstock_controller import edge_queries
from penstock_controller.edge_queries import EdgeQueries


class FakeEdge:
    """Answers every question, unless it is mute."""

    def __init__(self, queries: EdgeQueries, edge_id: str, *, takes: bool = True, is_mute: bool = False) -> None:
        self._queries = queries
        self._edge_id = edge_id
        self._takes = takes
        self._is_mute = is_mute
        self.asked: list[control_pb2.WatchResponse] = []

    def send(self, response: control_pb2.WatchResponse) -> bool:
        self.asked.append(response)
        if self._takes and not self._is_mute:
            asyncio.get_running_loop().call_soon(self._answer, response)
        return self._takes

    def _answer(self, question: control_pb2.WatchResponse) -> None:
        if question.WhichOneof("kind") == "list_open_streams":
            stream = control_pb2.StreamView(stream_id=f"{self._edge_id}-1", edge_id=self._edge_id)
            self._queries.answered(
                self._edge_id,
                control_pb2.OpenStreamList(query_id=question.list_open_streams.query_id, streams=[stream], matching=1),
            )
        else:
            asked = question.end_open_streams
            self._queries.answered(
                self._edge_id, control_pb2.EndedStreams(query_id=asked.query_id, stream_ids=asked.stream_ids[:1])
            )


def test_answers_of_all_edges_are_gathered() -> None:
    async def scenario() -> None:
        queries = EdgeQueries()
        for edge_id in ("e1", "e2"):
            queries.connected(edge_id, FakeEdge(queries, edge_id))

        listed = await queries.list_streams(deployment_id="echo-1", replica_id="", limit=5)
        ended = await queries.end_streams(["s1", "s2"], 1012, "bye")

        assert {edge: answer.matching for edge, answer in listed.by_edge.items()} == {"e1": 1, "e2": 1}
        assert [list(answer.stream_ids) for answer in ended.by_edge.values()] == [["s1"], ["s1"]]
        assert listed.silent == ended.silent == ()

    asyncio.run(scenario())


def test_edges_that_do_not_answer_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_queries, "ANSWER_S", 0.01)

    async def scenario() -> None:
        queries = EdgeQueries()
        queries.connected("good", FakeEdge(queries, "good"))
        queries.connected("mute", FakeEdge(queries, "mute", is_mute=True))
        queries.connected("full", FakeEdge(queries, "full", takes=False))

        listed = await queries.list_streams(deployment_id="", replica_id="", limit=5)

        assert list(listed.by_edge) == ["good"]
        assert listed.silent == ("full", "mute")

    asyncio.run(scenario())


def test_late_answer_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_queries, "ANSWER_S", 0.01)

    async def scenario() -> None:
        queries = EdgeQueries()
        mute = FakeEdge(queries, "mute", is_mute=True)
        queries.connected("mute", mute)
        await queries.list_streams(deployment_id="", replica_id="", limit=5)
        mute._answer(mute.asked[0])

    asyncio.run(scenario())


def test_edge_that_connects_again_is_asked_over_its_new_call_and_a_gone_one_is_not_asked() -> None:
    async def scenario() -> None:
        queries = EdgeQueries()
        older, newer = FakeEdge(queries, "e1"), FakeEdge(queries, "e1")
        queries.connected("e1", older)
        queries.connected("e1", newer)
        queries.gone("e1", older)

        assert (await queries.list_streams(deployment_id="", replica_id="", limit=5)).by_edge.keys() == {"e1"}
        assert older.asked == []
        queries.gone("e1", newer)
        assert (await queries.list_streams(deployment_id="", replica_id="", limit=5)).by_edge == {}

    asyncio.run(scenario())
