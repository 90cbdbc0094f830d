"""Life of a runner process: it listens, attaches, loads, serves, drains and ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2, health_pb2_grpc

from penstock.api.control.v1 import control_pb2
from penstock_testing.fake_controller import FakeController
from penstock_testing.runner_process import StartRunner, WriteTruss
from penstock_testing.static_platform import wait_until

GOOD = "class Model:\n    async def websocket(self, websocket): pass\n"
HANGS = f"import threading\n{GOOD}    def load(self):\n        threading.Event().wait()\n"

PROGRAM_WITH_OPEN_STREAM = """\
import asyncio, os, sys, threading
import uvloop
from penstock.logs import configure_logs
from penstock_runner.options import parse_options
from penstock_runner.process import RunnerProcess, end_process

class Server:
    active_streams, capacity, streams_total, rejected_total, draining = 1, 4, 1, 0, False
    oldest_stream_at_s = 1.0
    def __init__(self, *_): self.cut = asyncio.Event()
    async def start(self, listen): return "127.0.0.1:1"
    def set_model(self, model, app=None): pass
    def set_capacity(self, slots): self.capacity = slots
    def begin_drain(self, *, if_idle):
        self.draining = self.draining or not if_idle
        return not if_idle
    def end_drain(self): self.draining = False
    def plan_ends(self, grace_s, spread_s): pass
    def drop_plan(self): pass
    async def announce_ready(self, is_ready):
        if "BLOCK" in os.environ: threading.Event().wait()
    async def stop(self, grace):
        if grace == 0:
            self.cut.set()
            return 1
        try:
            await asyncio.wait_for(self.cut.wait(), grace)
            return 0
        except TimeoutError:
            return 1

async def main():
    options = parse_options()
    configure_logs("runner", "json")
    process = RunnerProcess(options, Server)
    status = await process.run()
    end_process(status, at_once=process.is_loading)
    return status

with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    sys.exit(runner.run(main()))
"""
"""The process with a server that has one stream open for ever. With BLOCK set, its event loop blocks once ready."""


def test_it_tells_starting_then_ready_and_writes_its_run_file(
    write_truss: WriteTruss, start_runner: StartRunner, controller: FakeController
) -> None:
    folder = write_truss(f"{GOOD}    def load(self):\n        open('gate').read()\n")
    os.mkfifo(folder / "gate")
    runner = start_runner(folder, controller=controller)

    controller.wait_for(lambda: controller.state() == "STARTING")
    (folder / "gate").write_text("open")
    controller.wait_for(lambda: "READY" in controller.states())
    register = controller.requests()[0].register
    assert controller.states() == ["STARTING", "READY"]
    assert (register.replica_id, register.deployment_id, register.pid) == ("m-1-abcde", "m-1", runner.pid)
    assert json.loads(runner.run_file.read_text()) == {
        "replica_id": "m-1-abcde",
        "deployment_id": "m-1",
        "pid": runner.pid,
        "pid_start_ticks": register.pid_start_ticks,
        "address": register.address,
        "boot_id": register.boot_id,
    }
    assert controller.statuses()[-1].resident_bytes > 0
    assert controller.statuses()[-1].HasField("event_loop_lag")


def test_it_writes_down_what_it_serves_while_there_is_no_controller(
    write_truss: WriteTruss, start_runner: StartRunner, controller: FakeController
) -> None:
    runner = start_runner(write_truss(GOOD), controller=controller, program=("-c", PROGRAM_WITH_OPEN_STREAM))
    controller.wait_for(lambda: "READY" in controller.states())
    before = json.loads(runner.run_file.read_text())
    controller.stop()

    def told() -> dict[str, Any]:
        content: dict[str, Any] = json.loads(runner.run_file.read_text())
        return content

    # Not the controller's own wait: it looks when a message comes, and none comes any more.
    wait_until(lambda: "active_streams" in told(), 20.0, "the run file tells what is served")

    assert told() == {**before, "state": "ready", "active_streams": 1, "stream_capacity": 4}


def test_health_service_tells_when_it_is_ready(
    write_truss: WriteTruss, start_runner: StartRunner, controller: FakeController
) -> None:
    start_runner(write_truss(GOOD), controller=controller)
    controller.wait_for(lambda: "READY" in controller.states())

    with grpc.insecure_channel(controller.requests()[0].register.address) as channel:
        # The stubs of grpcio-health-checking do not know its methods.
        stub: Any = health_pb2_grpc.HealthStub(channel)
        answers = stub.Watch(health_pb2.HealthCheckRequest(), timeout=20)
        serving = next(answer for answer in answers if answer.status == health_pb2.HealthCheckResponse.SERVING)

    assert serving.status == health_pb2.HealthCheckResponse.SERVING


def test_predict_model_is_loaded(
    write_truss: WriteTruss, start_runner: StartRunner, controller: FakeController
) -> None:
    start_runner(write_truss("class Model:\n    def predict(self, inputs): pass\n"), controller=controller)

    controller.wait_for(lambda: "READY" in controller.states())


def test_slots_come_from_the_config_and_can_be_changed(
    write_truss: WriteTruss, start_runner: StartRunner, controller: FakeController
) -> None:
    config = "model_name: m\npenstock: {autoscaling: {max_concurrency: 7}}\n"
    start_runner(write_truss(GOOD, config=config), controller=controller)
    controller.wait_for(lambda: "READY" in controller.states())

    controller.say(control_pb2.AttachResponse(set_limits=control_pb2.SetLimits(stream_capacity=3)))

    controller.wait_for(lambda: controller.statuses()[-1].stream_capacity == 3)
    assert controller.statuses()[0].stream_capacity == 7


def test_drain_and_undrain_of_the_controller(
    write_truss: WriteTruss, start_runner: StartRunner, controller: FakeController
) -> None:
    start_runner(write_truss(GOOD), controller=controller)
    controller.wait_for(lambda: "READY" in controller.states())

    controller.say(control_pb2.AttachResponse(drain=control_pb2.Drain(drain_id="d1", if_idle=True)))
    controller.wait_for(lambda: controller.state() == "DRAINING")
    controller.say(control_pb2.AttachResponse(undrain=control_pb2.Undrain()))

    controller.wait_for(lambda: controller.state() == "READY")
    (result,) = [request.drain_result for request in controller.requests() if request.HasField("drain_result")]
    assert (result.drain_id, result.accepted, result.active_streams) == ("d1", True, 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_drains_and_ends_with_status_0(
    number: signal.Signals, write_truss: WriteTruss, start_runner: StartRunner, controller: FakeController
) -> None:
    runner = start_runner(write_truss(GOOD), controller=controller)
    controller.wait_for(lambda: "READY" in controller.states())

    os.kill(runner.pid, number)

    assert runner.wait_exit() == 0
    assert controller.states()[-2:] == ["READY", "DRAINING"]
    assert controller.calls_ended == 1
    assert runner.event("runner_stopped")["streams_cut"] == 0


def test_signal_while_the_model_loads_ends_with_status_0(
    write_truss: WriteTruss, start_runner: StartRunner, controller: FakeController
) -> None:
    runner = start_runner(write_truss(HANGS), controller=controller)
    controller.wait_for(lambda: "Executing model.load()" in runner.output())

    os.kill(runner.pid, signal.SIGTERM)

    assert runner.wait_exit() == 0


def test_heartbeats_come_while_the_model_loads(
    write_truss: WriteTruss, start_runner: StartRunner, controller: FakeController
) -> None:
    start_runner(write_truss(HANGS), controller=controller)

    controller.wait_for(lambda: len(controller.statuses()) >= 4)
    assert controller.states() == ["STARTING"]


def test_open_stream_is_waited_for_and_a_second_signal_ends_at_once(
    write_truss: WriteTruss, start_runner: StartRunner, controller: FakeController
) -> None:
    runner = start_runner(write_truss(GOOD), controller=controller, program=("-c", PROGRAM_WITH_OPEN_STREAM))
    controller.wait_for(lambda: "READY" in controller.states())

    os.kill(runner.pid, signal.SIGTERM)
    controller.wait_for(lambda: controller.state() == "DRAINING")
    assert runner.process.poll() is None
    os.kill(runner.pid, signal.SIGTERM)

    assert runner.wait_exit() == 143


def test_blocked_event_loop_loses_no_lease_and_does_not_stop_the_second_signal(
    write_truss: WriteTruss, start_runner: StartRunner, controller: FakeController
) -> None:
    """DESIGN section 4: the runner's control connection runs in its own thread."""
    program = ("-c", PROGRAM_WITH_OPEN_STREAM)
    runner = start_runner(write_truss(GOOD), controller=controller, program=program, env={"BLOCK": "1"})

    controller.wait_for(lambda: controller.state() == "READY" and lag_s(controller) > 1.0)
    os.kill(runner.pid, signal.SIGTERM)
    controller.wait_for(lambda: controller.state() == "DRAINING")
    os.kill(runner.pid, signal.SIGINT)
    try:
        status = runner.wait_exit(5.0)
    except subprocess.TimeoutExpired:
        # Between the check for signals and the wait for a lock, the interpreter misses one: it then waits for the next.
        os.kill(runner.pid, signal.SIGINT)
        status = runner.wait_exit()

    assert status == 143


def lag_s(controller: FakeController) -> float:
    return controller.statuses()[-1].event_loop_lag.ToMilliseconds() / 1000


def test_open_stream_is_cut_after_the_drain_timeout(
    write_truss: WriteTruss, start_runner: StartRunner, controller: FakeController
) -> None:
    program = ("-c", PROGRAM_WITH_OPEN_STREAM)
    runner = start_runner(write_truss(GOOD), "--drain-timeout", "0.2", controller=controller, program=program)
    controller.wait_for(lambda: "READY" in controller.states())

    os.kill(runner.pid, signal.SIGTERM)

    assert runner.wait_exit() == 0
    assert runner.event("runner_stopped")["streams_cut"] == 1


def test_open_stream_is_cut_when_the_grace_of_a_drain_is_over(
    write_truss: WriteTruss, start_runner: StartRunner, controller: FakeController
) -> None:
    runner = start_runner(write_truss(GOOD), controller=controller, program=("-c", PROGRAM_WITH_OPEN_STREAM))
    controller.wait_for(lambda: "READY" in controller.states())

    controller.say(
        control_pb2.AttachResponse(drain=control_pb2.Drain(drain_id="d1", grace=Duration(nanos=200_000_000)))
    )

    assert runner.wait_exit() == 0
    assert runner.event("runner_stopped")["streams_cut"] == 1


def test_load_that_takes_too_long_fails_and_tells_where_it_is(
    write_truss: WriteTruss, start_runner: StartRunner, controller: FakeController
) -> None:
    """The limit is at least 10 s in config.yaml, so the test lowers it in the process."""
    program = (
        "import dataclasses, runpy, penstock_runner.process as process\n"
        "load = process.load_config\n"
        "def impatient(folder):\n"
        "    config = load(folder)\n"
        "    checks = dataclasses.replace(config.health_checks, startup_threshold_s=1.5)\n"
        "    return dataclasses.replace(config, health_checks=checks)\n"
        "process.load_config = impatient\n"
        "runpy.run_module('penstock_runner', run_name='__main__', alter_sys=True)\n"
    )
    folder = write_truss(HANGS)

    runner = start_runner(folder, controller=controller, program=("-c", program))

    assert runner.wait_exit() == 1
    message = controller.statuses()[-1].message
    assert "The model did not load within 1.5 s" in message
    assert f'File "{folder}/model/model.py", line 5, in load' in message
    assert "penstock_runner" not in message


def test_it_serves_on_when_its_controller_goes_and_attaches_to_the_next(
    write_truss: WriteTruss, start_runner: StartRunner, tmp_path: Path
) -> None:
    address = f"unix:{tmp_path}/c.sock"
    with FakeController(address=address) as first:
        runner = start_runner(write_truss(GOOD), controller=first)
        first.wait_for(lambda: "READY" in first.states())
    with FakeController(address=address, epoch=2) as second:
        second.wait_for(lambda: bool(second.requests()))

        assert second.states() == ["READY"]
        assert second.requests()[0].register.pid == runner.pid
        assert runner.process.poll() is None


def test_end_of_the_lifeline_ends_the_process_and_its_children_at_once(
    write_truss: WriteTruss, start_runner: StartRunner, controller: FakeController
) -> None:
    """The end of file on the pipe `gate` comes when the child, which holds its other end, is gone."""
    load = "    def load(self):\n        subprocess.run(['sh', '-c', 'exec > gate; echo up; exec sleep 1000'])\n"
    folder = write_truss(f"import subprocess\n{GOOD}{load}")
    os.mkfifo(folder / "gate")
    read_end, write_end = os.pipe()
    runner = start_runner(folder, "--lifeline-fd", str(read_end), controller=controller, pass_fds=(read_end,))
    os.close(read_end)

    with (folder / "gate").open() as gate:
        first = gate.readline()
        os.close(write_end)
        rest = gate.read()

    assert (first, rest) == ("up\n", "")
    assert runner.wait_exit(10) == -signal.SIGKILL


def test_threads_of_the_model_do_not_hold_the_process_up(
    write_truss: WriteTruss, start_runner: StartRunner, controller: FakeController
) -> None:
    load = "    def load(self):\n        threading.Thread(target=threading.Event().wait).start()\n"
    source = f"import threading\n{GOOD}{load}"
    runner = start_runner(write_truss(source), controller=controller)
    controller.wait_for(lambda: "READY" in controller.states())

    os.kill(runner.pid, signal.SIGTERM)

    assert runner.wait_exit() == 0
