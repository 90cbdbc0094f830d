from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import structlog

from penstock.api.common.v1 import common_pb2
from penstock.api.control.v1 import control_pb2
from penstock.api.trunk.v1 import trunk_pb2
from penstock.close_codes import EndCode
from penstock.trunk.batch import Kind
from penstock.trunk.endpoint import Endpoint, Role
from penstock.trunk.stream import Closing, TrunkStream
from penstock_edge.inner_stream import CLOSE_TIMEOUT_S, InnerStream, response_status
from penstock_testing.edge_kit import EdgeKit, ModelSide, duration
from penstock_testing.request_kit import response, settle
from penstock_testing.trunk_pair import RecordingSink
from penstock_testing.virtual_time import run_virtual


class InnerKit(EdgeKit):
    """An edge with the replica "r1", and a caller's trunk in memory."""

    def __init__(self, settings: control_pb2.StreamSettings | None = None) -> None:
        super().__init__()
        self.apply(("r1", 0, 1), settings=settings)
        self.caller = Endpoint(Role.EDGE, "caller", on_output=lambda: None)
        self.served = Endpoint(Role.RUNNER, "edge", on_output=lambda: None, on_open=self._open)
        self.inner: list[InnerStream] = []
        self.over: list[InnerStream] = []
        self.move()

    def _open(self, stream: TrunkStream, request: trunk_pb2.OpenStream) -> None:
        deployment = self.plane.table.by_id(request.deployment_id)
        assert deployment is not None
        inner = InnerStream(
            self.plane, deployment, self.served, stream, request, client="10.0.0.1:5", on_over=self.over.append
        )
        self.inner.append(inner)
        inner.start()

    def move(self) -> None:
        """Carries what waits on the caller's trunk, both ways."""
        moved = True
        while moved:
            moved = False
            for sender, receiver in ((self.caller, self.served), (self.served, self.caller)):
                while (batch := sender.take_batch()) is not None:
                    assert receiver.receive(batch) is None, receiver.fault
                    moved = True
            for runner in self.runners.values():
                runner.pump()

    async def settle(self) -> None:
        for _ in range(3):
            self.move()
            await settle()

    async def ask(self, *, is_request: bool = True, **fields: object) -> RecordingSink:
        """A stream of the caller."""
        sink = RecordingSink()
        request = trunk_pb2.OpenStream(
            stream_id="of the caller",
            deployment_id="echo-1",
            transport=trunk_pb2.TRANSPORT_HTTP if is_request else trunk_pb2.TRANSPORT_GRPC,
            **fields,  # type: ignore[arg-type]  # the test's own fields
        )
        sink.attach(self.caller.open(request))
        sink.is_open = True
        await self.settle()
        return sink

    async def accepted(self, index: int = -1) -> ModelSide:
        side = self.runners["r1"].streams[index]
        side.accept()
        await self.settle()
        return side

    def sample(self, name: str, *labels: str) -> float:
        lines = [line for line in self.plane.metrics.render().decode().splitlines() if line.startswith(name)]
        return sum(float(line.rpartition(" ")[2]) for line in lines if all(label in line for label in labels))


def played(scenario: Callable[[InnerKit], Awaitable[None]], settings: control_pb2.StreamSettings | None = None) -> None:
    async def main() -> None:
        kit = InnerKit(settings)
        await scenario(kit)
        await kit.settle()
        assert kit.plane.active_streams == 0
        assert sorted(kit.over, key=id) == sorted(kit.inner, key=id)
        assert kit.served.streams == {} == kit.caller.streams
        for runner in kit.runners.values():
            assert runner.edge.streams == {} and kit.active(runner.peer_id) == 0
        assert kit.sample("baseten_concurrent_requests{") == 0
        assert kit.sample("baseten_ongoing_websocket_connections{") == 0

    run_virtual(main())


def test_a_request_reaches_the_callee_with_what_only_an_edge_knows() -> None:
    async def scenario(kit: InnerKit) -> None:
        sink = await kit.ask(
            body=b"in",
            method="POST",
            headers=[common_pb2.Header(name="a", value=b"b")],
            identity=common_pb2.Identity(),
        )
        side = await kit.accepted()
        request = side.request
        assert request.stream_id.startswith("edge-test-")
        assert (request.message_bytes_max, request.body, request.method) == (100 * 1024 * 1024, b"in", "POST")
        assert [(header.name, header.value) for header in request.headers] == [("a", b"b")]
        assert not request.HasField("identity")
        assert sink.accepts == 1

        (inner,) = kit.inner
        assert kit.plane.active_streams == 1
        assert (inner.transport_name, inner.client_address(), inner.replica_id) == ("chain", "10.0.0.1:5", "r1")
        side.send(Kind.BINARY, response(201, b"out"))
        side.close()
        await kit.settle()

        assert sink.messages == [(int(Kind.BINARY), response(201, b"out"))]
        assert [closing.code for closing in sink.closings] == [EndCode.COMPLETED]
        assert (inner.bytes_in, inner.messages_in, inner.messages_out) == (2, 1, 1)
        assert kit.sample("baseten_inference_requests_total", 'status_code="201"') == 1
        sink.trunk_stream.close(EndCode.COMPLETED, 1000)

    played(scenario)


def test_a_caller_that_leaves_while_it_waits_gives_its_place_up() -> None:
    async def scenario(kit: InnerKit) -> None:
        first = await kit.ask(is_request=False)
        await kit.accepted()
        second = await kit.ask()
        assert kit.plane.waiting.length("echo-1") == 1

        second.trunk_stream.close(EndCode.CLIENT_GONE, 1006, discard=True)
        await kit.settle()

        assert kit.plane.waiting.length("echo-1") == 0
        assert second.is_told_of_end
        first.trunk_stream.close(EndCode.CLIENT_GONE, 1006, discard=True)
        await kit.settle()
        kit.runners["r1"].streams[0].close()

    played(scenario)


def test_a_caller_that_leaves_ends_the_callee_at_once_and_its_slot_is_kept_until_the_handler_has_ended() -> None:
    async def scenario(kit: InnerKit) -> None:
        sink = await kit.ask()
        side = await kit.accepted()

        sink.trunk_stream.close(EndCode.CLIENT_GONE, 1006, discard=True)
        await kit.settle()

        assert side.closing == Closing(EndCode.CLIENT_GONE, 1006, "")
        assert kit.plane.active_streams == 0
        assert kit.active("r1") == 1
        assert kit.sample("baseten_inference_requests_total", 'status_code="499"') == 1
        side.close()

    played(scenario)


def test_the_loss_of_the_callers_trunk_is_its_leaving() -> None:
    async def scenario(kit: InnerKit) -> None:
        await kit.ask()
        side = await kit.accepted()
        waiting = await kit.ask()
        assert not waiting.accepts

        kit.served.lose("lost by the test")
        kit.caller.lose("lost by the test")
        await kit.settle()

        assert side.closing is not None
        assert side.closing.code is EndCode.CLIENT_GONE
        side.close()

    played(scenario)


def test_a_callers_close_with_a_reason_reaches_the_callee_behind_its_messages() -> None:
    async def scenario(kit: InnerKit) -> None:
        sink = await kit.ask(is_request=False)
        side = await kit.accepted()

        sink.trunk_stream.send(Kind.BINARY, b"last")
        sink.trunk_stream.close(EndCode.CLIENT_CLOSED, 4001, "why")
        await kit.settle()

        assert side.segments == [(int(Kind.BINARY), b"last")]
        assert side.closing == Closing(EndCode.CLIENT_CLOSED, 4001, "why")
        assert kit.sample("penstock_streams_total", 'code="CLIENT_CLOSED"', 'close_code="4xxx"') == 1
        side.close()

    played(scenario)


def test_what_a_caller_sent_before_its_close_is_not_lost_while_the_callee_is_slow() -> None:
    async def scenario(kit: InnerKit) -> None:
        sink = await kit.ask(is_request=False)
        side = await kit.accepted()
        messages = [bytes([number]) * 20_000 for number in range(40)]
        for message in messages:
            sink.trunk_stream.send(Kind.BINARY, message)
            await kit.settle()
        assert not sink.trunk_stream.is_blocked
        assert len(side.segments) < len(messages), "some wait at the edge"

        sink.trunk_stream.close(EndCode.CLIENT_CLOSED, 1000)
        await kit.settle()
        came = []
        while side.closing is None:
            taken = side.take()
            assert taken
            came += taken
            await kit.settle()

        came += side.take()
        assert b"".join(data for _, data in came) == b"".join(messages)
        side.close()

    played(scenario)


def test_a_callees_close_passes_with_its_code_and_reason() -> None:
    async def scenario(kit: InnerKit) -> None:
        sink = await kit.ask(is_request=False)
        side = await kit.accepted()
        side.send(Kind.TEXT, b"last")
        side.close(EndCode.MODEL_CLOSED, 4002, "done")
        await kit.settle()

        assert sink.messages == [(int(Kind.TEXT), b"last")]
        assert sink.closings == [Closing(EndCode.MODEL_CLOSED, 4002, "done")]
        assert kit.plane.active_streams == 0
        sink.trunk_stream.close(EndCode.COMPLETED, 1000)

    played(scenario)


def test_the_loss_of_the_callee_is_told_as_that() -> None:
    async def scenario(kit: InnerKit) -> None:
        sink = await kit.ask()
        await kit.accepted()

        kit.runners["r1"].lose()
        await kit.settle()

        assert [closing.code for closing in sink.closings] == [EndCode.REPLICA_LOST]
        assert kit.sample("baseten_inference_requests_total", 'status_code="503"') == 1
        sink.trunk_stream.close(EndCode.COMPLETED, 1000)

    played(scenario)


def test_a_refusal_passes_as_it_is() -> None:
    async def scenario(kit: InnerKit) -> None:
        sink = await kit.ask()
        kit.runners["r1"].streams[-1].reject("INTERNAL", reason="no such endpoint", http_status=501)
        await kit.settle()

        (reject,) = sink.rejects
        assert (reject.code, reject.reason, reject.http_status) == ("INTERNAL", "no such endpoint", 501)
        assert kit.sample("penstock_streams_refused_total", 'http_status="501"') == 1

    played(scenario)


def test_a_request_that_waits_too_long_is_refused() -> None:
    async def scenario(kit: InnerKit) -> None:
        first = await kit.ask(is_request=False)
        await kit.accepted()
        second = await kit.ask()
        await asyncio.sleep(31)
        await kit.settle()

        assert [reject.code for reject in second.rejects] == ["QUEUE_TIMEOUT"]
        first.trunk_stream.close(EndCode.CLIENT_GONE, 1006)
        await kit.settle()
        kit.runners["r1"].streams[0].close()

    played(scenario)


def test_a_callee_that_does_not_begin_to_answer_in_time_is_ended() -> None:
    async def scenario(kit: InnerKit) -> None:
        sink = await kit.ask()
        side = await kit.accepted()
        await asyncio.sleep(5.1)
        await kit.settle()

        assert [closing.code for closing in sink.closings] == [EndCode.REQUEST_TIMEOUT]
        assert side.closing is not None and side.closing.code is EndCode.REQUEST_TIMEOUT
        side.close()
        sink.trunk_stream.close(EndCode.COMPLETED, 1000)

    played(scenario, control_pb2.StreamSettings(predict_timeout=duration(5)))


def test_a_callee_that_has_begun_to_answer_may_take_its_time() -> None:
    async def scenario(kit: InnerKit) -> None:
        sink = await kit.ask()
        side = await kit.accepted()
        side.send(Kind.BINARY, response(200, b"a", more=True))
        await asyncio.sleep(60)
        await kit.settle()
        assert not sink.closings
        side.close()
        await kit.settle()
        sink.trunk_stream.close(EndCode.COMPLETED, 1000)

    played(scenario, control_pb2.StreamSettings(predict_timeout=duration(5)))


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        (control_pb2.StreamSettings(idle_timeout=duration(5)), EndCode.IDLE_TIMEOUT),
        (control_pb2.StreamSettings(stream_age_max=duration(8)), EndCode.STREAM_TOO_OLD),
    ],
    ids=["idle", "old"],
)
def test_conversations_have_the_limits_of_other_streams(settings: control_pb2.StreamSettings, code: EndCode) -> None:
    async def scenario(kit: InnerKit) -> None:
        sink = await kit.ask(is_request=False)
        side = await kit.accepted()
        await asyncio.sleep(4)
        sink.trunk_stream.send(Kind.BINARY, b"a")
        await kit.settle()
        await asyncio.sleep(3)
        await kit.settle()
        assert not sink.closings, "a message has passed"
        await asyncio.sleep(6)
        await kit.settle()

        assert [closing.code for closing in sink.closings] == [code]
        side.close()
        sink.trunk_stream.close(EndCode.COMPLETED, 1000)

    played(scenario, settings)


@pytest.mark.parametrize("is_request", [True, False])
def test_what_is_larger_than_the_callee_allows_ends_the_stream(is_request: bool) -> None:
    async def scenario(kit: InnerKit) -> None:
        sink = await kit.ask(is_request=is_request)
        side = await kit.accepted()
        sink.trunk_stream.send(Kind.BINARY_FIRST, b"x" * 600)
        await kit.settle()
        assert not sink.closings
        sink.trunk_stream.send(Kind.LAST, b"x" * 600)
        await kit.settle()

        assert [closing.code for closing in sink.closings] == [EndCode.MESSAGE_TOO_BIG]
        assert sum(len(data) for _, data in side.segments) == 600
        side.close()
        sink.trunk_stream.close(EndCode.COMPLETED, 1000)

    played(scenario, control_pb2.StreamSettings(message_bytes_max=1000))


def test_an_operator_ends_a_conversation_on_both_sides_once() -> None:
    async def scenario(kit: InnerKit) -> None:
        sink = await kit.ask(is_request=False)
        side = await kit.accepted()

        assert kit.inner[0].end_by_operator(4100, "maintenance")
        assert not kit.inner[0].end_by_operator(4100, "again")
        await kit.settle()

        closing = Closing(EndCode.OPERATOR_CLOSED, 4100, "maintenance")
        assert (sink.closings, side.closing) == ([closing], closing)
        side.close()
        sink.trunk_stream.close(EndCode.COMPLETED, 1000)

    played(scenario)


def test_the_end_of_a_drain_refuses_who_waits_and_ends_who_is_open() -> None:
    async def scenario(kit: InnerKit) -> None:
        first = await kit.ask(is_request=False)
        side = await kit.accepted()
        second = await kit.ask()

        with structlog.testing.capture_logs():
            for inner in list(kit.inner):
                inner.end(EndCode.EDGE_DRAINING)
        await kit.settle()

        assert [closing.code for closing in first.closings] == [EndCode.EDGE_DRAINING]
        assert [reject.code for reject in second.rejects] == ["EDGE_DRAINING"]
        assert kit.over[0] is kit.inner[0]
        side.close()
        first.trunk_stream.close(EndCode.COMPLETED, 1000)

    played(scenario)


def test_a_slow_caller_is_counted_as_over_in_time_and_still_gets_everything() -> None:
    async def scenario(kit: InnerKit) -> None:
        sink = await kit.ask(is_request=False)
        sink.consumes = False
        side = await kit.accepted()
        messages = [bytes([number]) * 20_000 for number in range(30)]
        for message in messages:
            side.send(Kind.BINARY, message)
        await kit.settle()
        assert not side.stream.is_blocked, "all of it has reached the edge"
        side.close()
        await kit.settle()
        assert kit.plane.active_streams == 1, "the caller has not got everything"

        await asyncio.sleep(CLOSE_TIMEOUT_S + 0.1)
        await kit.settle()

        assert kit.plane.active_streams == 0
        assert not sink.is_told_of_end
        while not sink.is_told_of_end:
            assert sink.held
            sink.consume()
            await kit.settle()
        assert [data for _, data in sink.messages] == messages
        assert sink.closings == [Closing(EndCode.COMPLETED, 1000, "")]
        sink.trunk_stream.close(EndCode.COMPLETED, 1000)

    played(scenario)


@pytest.mark.parametrize("status", [200, 204, 404, 599])
def test_the_status_is_read_off_the_head(status: int) -> None:
    assert response_status(response(status, b"x" * 1000)) == status
    reordered = response(0, b"x") + trunk_pb2.ResponseHead(status=status).SerializeToString()
    assert response_status(reordered) == status


def test_what_is_no_head_has_no_status() -> None:
    assert response_status(b"\xff\xff") == 0
