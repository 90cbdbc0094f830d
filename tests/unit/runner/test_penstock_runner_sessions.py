from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
from fastapi import HTTPException, WebSocket, WebSocketDisconnect

from penstock.close_codes import EndCode
from penstock.trunk.batch import Kind
from penstock.truss.settings import PenstockSettings
from penstock_runner.model.loaded import LoadedModel
from penstock_runner.sessions import Sessions
from penstock_runner.slots import Slots
from penstock_testing.client_side import DEPLOYMENT_ID, ClientSide, MemoryTrunk, pass_time, settle
from penstock_testing.virtual_time import run_virtual

Handler = Callable[[WebSocket], Awaitable[None]]
MODEL_ERROR = (EndCode.MODEL_ERROR, 1011, "Internal Server Error (in model/chainlet).")


class Replica:
    """Sessions with a model, on one trunk."""

    def __init__(self, handler: Handler | None, *, slots: int = 10, is_ready: bool = True) -> None:
        self.settings = PenstockSettings(disconnect_grace_s=0.5, cleanup_grace_s=10)
        self.slots = Slots(slots)
        self.changes: list[int] = []
        self.sessions = Sessions(
            DEPLOYMENT_ID, self.slots, self.settings, lambda: self.changes.append(self.slots.active)
        )
        if is_ready:
            self.sessions.set_model(LoadedModel(object(), handler, Path(__file__)))
        self.trunk = MemoryTrunk(self.sessions.open)

    def client(self) -> ClientSide:
        return self.trunk.open()


async def echo(websocket: WebSocket) -> None:
    async for text in websocket.iter_text():
        await websocket.send_text(text)


def ended_with(handler: Handler | None, act: Callable[[ClientSide], None] = lambda _: None) -> tuple[Any, list[Any]]:
    """How the client's stream ends when the handler has run, and what was logged."""

    async def main() -> tuple[Any, list[Any]]:
        replica = Replica(handler)
        with structlog.testing.capture_logs() as logs:
            client = replica.client()
            await settle()
            act(client)
            await settle()
            client.stream.close(EndCode.CLIENT_CLOSED, 1000)
            await pass_time(60)
        assert replica.slots.active == 0
        assert replica.trunk.runner.streams == {} and replica.trunk.edge.streams == {}
        return client.closing, [(entry["event"], entry["log_level"]) for entry in logs]

    return run_virtual(main())


def test_a_handler_that_returns_closes_with_1000() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.send_text("bye")

    assert ended_with(handler) == ((EndCode.COMPLETED, 1000, ""), [])


def test_a_handler_that_closes_and_returns_closes_as_it_said() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.close(4000, "mine")

    assert ended_with(handler) == ((EndCode.MODEL_CLOSED, 4000, "mine"), [])


def test_a_disconnect_that_escapes_is_no_error() -> None:
    async def handler(websocket: WebSocket) -> None:
        while True:
            await websocket.receive_text()

    closing, logs = ended_with(handler, lambda client: client.close())

    assert logs == [("client_disconnected", "info")]
    assert closing[1] == 1000


def test_a_disconnect_that_the_handler_raises_by_itself_is_no_error() -> None:
    async def handler(websocket: WebSocket) -> None:
        raise WebSocketDisconnect(1001)

    assert ended_with(handler)[1] == [("client_disconnected", "info")]


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        HTTPException(418, "teapot"),
        SystemExit(3),
        KeyboardInterrupt(),
        KeyError("text"),
        asyncio.CancelledError(),
        ExceptionGroup("several", [ValueError("a")]),
        TimeoutError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_exception_closes_with_1011_and_the_exact_reason(error: BaseException) -> None:
    async def handler(websocket: WebSocket) -> None:
        raise error

    closing, logs = ended_with(handler)

    assert closing == MODEL_ERROR
    assert logs == [("handler_failed", "error")]


def test_a_task_of_the_handler_that_was_cancelled_is_an_error_of_the_handler() -> None:
    async def handler(websocket: WebSocket) -> None:
        task = asyncio.ensure_future(asyncio.Event().wait())  # noqa: TID251  as user code does
        task.cancel()
        await task

    assert ended_with(handler)[0] == MODEL_ERROR


def test_an_exception_after_the_handlers_own_close_changes_nothing() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.close(4000, "mine")
        raise ValueError

    closing, logs = ended_with(handler)

    assert closing == (EndCode.MODEL_CLOSED, 4000, "mine")
    assert logs == [("handler_failed", "error")]


def test_accepting_again_is_an_error_of_the_handler() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()

    assert ended_with(handler)[0] == MODEL_ERROR


def send_bytes(client: ClientSide) -> None:
    client.send(b"bytes")


def test_the_wrong_kind_of_message_is_an_error_of_the_handler() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.receive_text()

    assert ended_with(handler, send_bytes)[0] == MODEL_ERROR


def test_a_model_without_the_method_closes_with_1003_and_the_exact_reason() -> None:
    assert ended_with(None)[0] == (
        EndCode.NOT_WEBSOCKET,
        1003,
        "WebSocket is not implemented on this deployment.",
    )


def test_a_message_that_is_too_big_closes_with_1009() -> None:
    async def main() -> None:
        async def handler(websocket: WebSocket) -> None:
            await websocket.send_text("x" * 11)

        replica = Replica(handler)
        client = replica.trunk.open(message_bytes_max=10)
        await settle()
        assert client.closing == (EndCode.MESSAGE_TOO_BIG, 1009, "Message is larger than the limit.")
        assert replica.slots.active == 0

    run_virtual(main())


def test_the_log_of_a_failure_has_the_users_frames_and_the_stream() -> None:
    async def handler(websocket: WebSocket) -> None:
        raise ValueError("my mistake")

    async def main() -> None:
        with structlog.testing.capture_logs() as logs:
            Replica(handler).client()
            await settle()
        (entry,) = logs
        assert entry["stream_id"] == "s1"
        assert entry["message"] == "Internal Server Error (in model/chainlet)."
        assert "my mistake" in entry["traceback"] and "in handler" in entry["traceback"]
        assert 'sessions.py", line' not in entry["traceback"].replace(__file__, "")

    run_virtual(main())


def test_streams_are_rejected_before_the_model_is_loaded_and_above_the_capacity() -> None:
    async def main() -> None:
        cold = Replica(echo, is_ready=False).client()
        assert cold.rejected is not None and cold.rejected.code == EndCode.REPLICA_NOT_READY

        replica = Replica(echo, slots=1)
        first, second = replica.client(), replica.client()
        assert first.is_accepted
        assert second.rejected is not None and second.rejected.code == EndCode.REPLICA_FULL
        assert second.rejected.retry_after_seconds >= 1
        first.close()
        await settle()
        assert replica.client().is_accepted

    run_virtual(main())


def test_a_stream_for_another_deployment_is_rejected_and_takes_no_slot() -> None:
    async def main() -> None:
        replica = Replica(echo)

        client = replica.trunk.open(deployment_id="other")

        assert client.rejected is not None and client.rejected.code == EndCode.NOT_FOUND
        assert (replica.slots.active, replica.slots.refused_total) == (0, 0)

    run_virtual(main())


def test_every_change_of_the_slots_is_told() -> None:
    async def main() -> None:
        replica = Replica(echo)
        before = len(replica.changes)

        client = replica.client()
        client.close()
        await settle()

        assert replica.changes[before:] == [1, 0]

    run_virtual(main())


def left_at(handler: Handler, leave: Callable[[ClientSide], None], seconds: float) -> tuple[int, list[str]]:
    """Slots that are held, and events, some time after the client has left."""

    async def main() -> tuple[int, list[str]]:
        replica = Replica(handler)
        client = replica.client()
        await settle()
        with structlog.testing.capture_logs() as logs:
            leave(client)
            await pass_time(seconds)
        held = replica.slots.active
        replica.sessions.end_all(EndCode.REPLICA_DRAINING)
        await settle()
        return held, [entry["event"] for entry in logs]

    return run_virtual(main())


async def deaf(websocket: WebSocket) -> None:
    """Waits for something else than its client."""
    await asyncio.Event().wait()


@pytest.mark.parametrize("leave", [ClientSide.vanish, ClientSide.close], ids=["vanish", "close"])
def test_a_handler_that_takes_no_notice_is_cancelled_after_the_grace(leave: Callable[[ClientSide], None]) -> None:
    assert left_at(deaf, leave, 0.4) == (1, [])
    assert left_at(deaf, leave, 0.6) == (0, ["handler_cancelled"])


def test_handlers_of_a_lost_edge_are_cancelled_within_a_second() -> None:
    assert left_at(deaf, lambda client: client.trunk.lose(), 1.0) == (0, ["handler_cancelled"])


async def cleaning(websocket: WebSocket) -> None:
    try:
        await websocket.receive_text()
    except WebSocketDisconnect:
        await pass_time(8)


def test_a_handler_that_was_told_may_clean_up() -> None:
    assert left_at(cleaning, ClientSide.vanish, 7.9) == (1, [])
    assert left_at(cleaning, ClientSide.vanish, 8.1) == (0, [])


async def lingering(websocket: WebSocket) -> None:
    try:
        while True:
            await websocket.send_text("x")
            await pass_time(0.1)
    except WebSocketDisconnect:
        await deaf(websocket)


def test_a_handler_that_was_told_and_stays_is_cancelled_after_the_cleanup_grace() -> None:
    assert left_at(lingering, ClientSide.vanish, 10) == (1, [])
    assert left_at(lingering, ClientSide.vanish, 11) == (0, ["handler_cancelled"])


def test_a_handler_that_works_through_its_messages_is_not_cancelled() -> None:
    """Each message takes longer than half of the grace; all of them together take much longer than it."""
    taken: list[str] = []

    async def handler(websocket: WebSocket) -> None:
        async for text in websocket.iter_text():
            taken.append(text)
            await pass_time(0.3)

    def leave(client: ClientSide) -> None:
        for number in range(20):
            client.send(str(number))
        client.close()

    assert left_at(handler, leave, 10) == (0, [])
    assert taken == [str(number) for number in range(20)]


def test_a_handler_that_ignores_its_cancellation_loses_its_slot() -> None:
    async def stubborn(websocket: WebSocket) -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await pass_time(25)
                return

    held, events = left_at(stubborn, ClientSide.vanish, 10.4)
    assert (held, events) == (1, [])
    held, events = left_at(stubborn, ClientSide.vanish, 10.6)
    assert (held, events) == (0, ["handler_ignores_cancellation"])
    held, _ = left_at(stubborn, ClientSide.vanish, 60)
    assert held == 0, "its end gives no second slot back"


def test_no_timer_is_left_by_a_stream_that_has_ended() -> None:
    async def main() -> None:
        replica = Replica(echo)
        for leave in (ClientSide.close, ClientSide.vanish):
            client = replica.client()
            await settle()
            leave(client)
            await settle()

        async def returns(websocket: WebSocket) -> None:
            return None

        other = Replica(returns)
        client = other.client()
        await settle()
        assert client.closing is not None
        client.close()  # the answer of the client, after the handler has ended
        await settle()

        scheduled = [handle for handle in vars(asyncio.get_running_loop())["_scheduled"] if not handle.cancelled()]
        assert scheduled == []

    run_virtual(main())


def test_nothing_refers_to_a_websocket_after_its_stream() -> None:
    seen: list[weakref.ref[WebSocket]] = []

    async def handler(websocket: WebSocket) -> None:
        seen.append(weakref.ref(websocket))
        await websocket.receive_text()

    async def main() -> None:
        replica = Replica(handler)
        for leave in (ClientSide.close, ClientSide.vanish, lambda client: client.send("x")):
            client = replica.client()
            await settle()
            leave(client)
            await settle()
            client.close()
            await settle()
        gc.collect()
        assert [reference() for reference in seen] == [None, None, None]

    run_virtual(main())


def test_one_stream_does_not_see_the_messages_of_another() -> None:
    async def main() -> None:
        replica = Replica(echo)
        clients = [replica.client() for _ in range(5)]
        for number, client in enumerate(clients):
            client.send(str(number))
        await settle()

        assert [client.messages for client in clients] == [[(Kind.TEXT, str(n).encode())] for n in range(5)]

    run_virtual(main())


def test_idle_is_when_no_slot_is_held() -> None:
    async def main() -> None:
        replica = Replica(echo)
        await replica.sessions.wait_idle()
        client = replica.client()
        waiting = [asyncio.ensure_future(replica.sessions.wait_idle()) for _ in range(2)]  # noqa: TID251  # the list holds them
        await settle()
        assert not any(task.done() for task in waiting)

        client.close()
        await settle()

        assert all(task.done() for task in waiting)

    run_virtual(main())


def test_all_can_be_ended_with_a_cause() -> None:
    async def main() -> None:
        replica = Replica(deaf)
        clients = [replica.client() for _ in range(3)]
        await settle()

        assert replica.sessions.end_all(EndCode.REPLICA_DRAINING) == 3
        await settle()

        for client in clients:
            assert client.closing == (EndCode.REPLICA_DRAINING, 1012, "Replica is stopping; connect again.")
        assert replica.slots.active == 0

    run_virtual(main())
