"""The line to the controller, against a real gRPC server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration

from penstock.api.control.v1 import control_pb2
from penstock_runner.attach_state import State, Status
from penstock_runner.control import ControlLine
from penstock_runner.control_messages import Identity
from penstock_runner.lag import LoopLag
from penstock_testing.fake_controller import FakeController

IDENTITY = Identity(
    replica_id="r1",
    deployment_id="d1",
    boot_id="b1",
    address="127.0.0.1:1",
    pid=1,
    pid_start_ticks=2,
    version="0",
    started_at_s=0.0,
)


class Source:
    """A replica that the test changes by hand."""

    def __init__(self) -> None:
        self.status = Status(State.STARTING, stream_capacity=4)
        self.lag: Callable[[], float] = lambda: 0.0

    def read(self) -> Status:
        return self.status

    def measured(self, status: Status) -> Status:
        return replace(status, event_loop_lag_s=self.lag())


class Commands:
    """Notes what was asked for."""

    def __init__(self) -> None:
        self.seen: list[tuple[object, ...]] = []
        self.news = threading.Event()

    def drain(self, drain_id: str, *, if_idle: bool, grace_s: float | None, spread_s: float) -> None:
        self._note("drain", drain_id, if_idle, grace_s, spread_s)

    def undrain(self) -> None:
        self._note("undrain")

    def set_capacity(self, slots: int) -> None:
        self._note("set_capacity", slots)

    def reload(self, reload_id: str) -> None:
        self._note("reload", reload_id)

    def peers(self, peers: control_pb2.ChainPeers) -> None:
        self._note("peers", peers.chain_id)

    def _note(self, *command: object) -> None:
        self.seen.append(command)
        self.news.set()


@contextmanager
def line(address: str, source: Source, commands: Commands | None = None) -> Iterator[ControlLine]:
    opened = ControlLine(address, IDENTITY, source, commands or Commands())
    opened.start()
    try:
        yield opened
    finally:
        opened.close(0.0)


def test_first_message_registers_with_the_full_state() -> None:
    with FakeController() as controller, line(controller.address, Source()):
        controller.wait_for(lambda: bool(controller.requests()))

        register = controller.requests()[0].register
        assert (register.replica_id, register.deployment_id, register.boot_id) == ("r1", "d1", "b1")
        assert register.status.state == control_pb2.REPLICA_STATE_STARTING
        assert register.status.stream_capacity == 4


def test_change_is_told_long_before_the_heartbeat() -> None:
    source = Source()
    with FakeController(heartbeat_s=60) as controller, line(controller.address, source) as opened:
        controller.wait_for(lambda: bool(controller.requests()))

        source.status = Status(State.READY, active_streams=2, stream_capacity=4)
        opened.changed()

        controller.wait_for(lambda: controller.states() == ["STARTING", "READY"], 5)
        assert controller.statuses()[-1].active_streams == 2


def test_burst_of_changes_is_told_in_few_statuses_and_the_last_one_counts() -> None:
    source = Source()
    with FakeController(heartbeat_s=60) as controller, line(controller.address, source) as opened:
        controller.wait_for(lambda: bool(controller.requests()))

        for active in range(1, 1001):
            source.status = Status(State.READY, active_streams=active, stream_capacity=4)
            opened.changed()

        controller.wait_for(lambda: controller.statuses()[-1].active_streams == 1000, 5)
        assert len(controller.requests()) < 100


def test_statuses_come_at_every_heartbeat_without_a_change() -> None:
    with FakeController(heartbeat_s=0.1) as controller, line(controller.address, Source()):
        controller.wait_for(lambda: len(controller.statuses()) >= 4)

        assert [status.sequence for status in controller.statuses()][:4] == [1, 2, 3, 4]


def test_statuses_come_and_tell_the_lag_while_the_loop_is_blocked() -> None:
    """DESIGN section 4: a model that blocks its event loop loses no lease."""
    source = Source()
    with FakeController(heartbeat_s=0.1) as controller, line(controller.address, source):

        async def block() -> None:
            lag = LoopLag(asyncio.get_running_loop())
            lag.start()
            source.lag = lag.take
            # Blocks the loop's thread itself until the controller has heard that it is blocked.
            controller.wait_for(lambda: controller.statuses()[-1:] != [] and lagging(controller, 0.5))
            lag.stop()

        asyncio.run(block())


def lagging(controller: FakeController, seconds: float) -> bool:
    return controller.statuses()[-1].event_loop_lag.ToMilliseconds() >= seconds * 1000


def test_commands_arrive() -> None:
    commands = Commands()
    with FakeController() as controller, line(controller.address, Source(), commands):
        controller.wait_for(lambda: bool(controller.requests()))

        controller.say(control_pb2.AttachResponse(drain=control_pb2.Drain(drain_id="a", if_idle=True)))
        controller.say(
            control_pb2.AttachResponse(
                drain=control_pb2.Drain(
                    drain_id="b", grace=Duration(seconds=1, nanos=500_000_000), spread=Duration(nanos=250_000_000)
                )
            )
        )
        controller.say(control_pb2.AttachResponse(undrain=control_pb2.Undrain()))
        controller.say(control_pb2.AttachResponse(set_limits=control_pb2.SetLimits(stream_capacity=9)))
        controller.say(control_pb2.AttachResponse(reload=control_pb2.ReloadModel(reload_id="n1")))
        controller.say(control_pb2.AttachResponse(chain_peers=control_pb2.ChainPeers(chain_id="c1")))

        wait_until(commands, lambda: len(commands.seen) == 6)
        assert commands.seen == [
            ("drain", "a", True, None, 0.0),
            ("drain", "b", False, 1.5, 0.25),
            ("undrain",),
            ("set_capacity", 9),
            ("reload", "n1"),
            ("peers", "c1"),
        ]


def test_commands_of_an_older_epoch_are_ignored() -> None:
    commands = Commands()
    with FakeController(epoch=5) as controller, line(controller.address, Source(), commands):
        controller.wait_for(lambda: bool(controller.requests()))

        controller.say(control_pb2.AttachResponse(undrain=control_pb2.Undrain()), epoch=4)
        controller.say(control_pb2.AttachResponse(set_limits=control_pb2.SetLimits(stream_capacity=2)), epoch=6)

        wait_until(commands, lambda: bool(commands.seen))
        assert commands.seen == [("set_capacity", 2)]


def test_unknown_command_is_ignored() -> None:
    commands = Commands()
    with FakeController() as controller, line(controller.address, Source(), commands):
        controller.wait_for(lambda: bool(controller.requests()))

        controller.say(control_pb2.AttachResponse())
        controller.say(control_pb2.AttachResponse(undrain=control_pb2.Undrain()))

        wait_until(commands, lambda: bool(commands.seen))
        assert commands.seen == [("undrain",)]


def test_answer_to_a_reload_is_sent_at_once() -> None:
    with FakeController(heartbeat_s=60) as controller, line(controller.address, Source()) as opened:
        controller.wait_for(lambda: bool(controller.requests()))

        opened.answer_reload("n1", reloaded=False, message="SyntaxError", needs_restart=True)

        controller.wait_for(lambda: controller.requests()[-1].HasField("reload_result"))
        assert controller.requests()[-1].reload_result == control_pb2.ReloadResult(
            reload_id="n1", message="SyntaxError", needs_restart=True
        )


def test_answer_to_a_drain_is_sent_at_once() -> None:
    with FakeController(heartbeat_s=60) as controller, line(controller.address, Source()) as opened:
        controller.wait_for(lambda: bool(controller.requests()))

        opened.answer_drain("a", accepted=False, active_streams=3)

        controller.wait_for(lambda: controller.requests()[-1].HasField("drain_result"), 5)
        result = controller.requests()[-1].drain_result
        assert (result.drain_id, result.accepted, result.active_streams) == ("a", False, 3)


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_it_attaches_again_to_a_controller_that_comes_back(kind: str, tmp_path: Path) -> None:
    wanted = "127.0.0.1:0" if kind == "tcp" else f"unix:{tmp_path}/c.sock"
    with FakeController(address=wanted) as first:
        address = first.address
        opened = ControlLine(address, IDENTITY, Source(), Commands())
        opened.start()
        first.wait_for(lambda: bool(first.requests()))

    with FakeController(address=address, epoch=2) as second:
        second.wait_for(lambda: bool(second.requests()))
        register = second.requests()[0].register
        opened.close(0.0)

    assert register.boot_id == "b1"
    assert register.status.sequence > 1


def test_it_waits_for_a_controller_that_is_not_there_yet(tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/c.sock"
    with line(address, Source()), FakeController(address=address) as controller:
        controller.wait_for(lambda: bool(controller.requests()))


def test_close_sends_the_last_status_and_ends_the_call() -> None:
    source = Source()
    with FakeController(heartbeat_s=60) as controller:
        opened = ControlLine(controller.address, IDENTITY, source, Commands())
        opened.start()
        controller.wait_for(lambda: bool(controller.requests()))

        source.status = Status(State.FAILED, message="ValueError: bad weights")
        heard = opened.close(5.0)

        assert heard
        assert controller.calls_ended == 1
        assert controller.states() == ["STARTING", "FAILED"]
        assert controller.statuses()[-1].message == "ValueError: bad weights"


def test_close_right_after_the_start_tells_the_state() -> None:
    source = Source()
    source.status = Status(State.FAILED, message="no config")
    with FakeController() as controller:
        opened = ControlLine(controller.address, IDENTITY, source, Commands())
        opened.start()

        assert opened.close(5.0)
        assert controller.states() == ["FAILED"]


def test_close_gives_up_in_time_without_a_controller(tmp_path: Path) -> None:
    opened = ControlLine(f"unix:{tmp_path}/nobody.sock", IDENTITY, Source(), Commands())
    opened.start()

    assert opened.close(0.3) is False


def wait_until(commands: Commands, condition: Callable[[], bool]) -> None:
    while not condition():
        commands.news.clear()
        if condition():
            return
        assert commands.news.wait(10), commands.seen
