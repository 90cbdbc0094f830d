"""The runner process: listen, attach, load, serve, drain, end.

    start ──listens──▶ STARTING ──model loaded──▶ READY ──SIGTERM──▶ DRAINING ──idle or timeout──▶ exit 0
                           └──model cannot be loaded──▶ FAILED ──controller has heard──▶ exit 1

The server listens and the controller is told before the model loads, so that a load of half an hour is seen. Importing,
making and loading the model happen on a thread of their own; the event loop stays on the main thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import importlib.metadata
import json
import os
import signal
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable
from types import FrameType
from typing import Any

import structlog

from penstock.state_dir import write_atomically
from penstock.truss import ConfigError, PenstockSettings, TrussConfig, load_config
from penstock_runner.attach_state import Status
from penstock_runner.chain_member import ChainMember, is_chainlet
from penstock_runner.control import ControlLine
from penstock_runner.control_messages import Identity
from penstock_runner.environment_watch import environment_file, first_environment
from penstock_runner.memory_watch import MemoryWatch, memory_limit
from penstock_runner.model.errors import ModelLoadError
from penstock_runner.model.importing import describe_exception
from penstock_runner.model.loaded import LoadedModel, format_user_stack
from penstock_runner.model.loader import load_model, prepare
from penstock_runner.model_life import ModelLife
from penstock_runner.options import Options
from penstock_runner.process_facts import start_ticks
from penstock_runner.replica import Replica, Server

FAILURE_HEARD_S = 2.0
"""Time for the controller to hear why the model failed, before the process ends."""
RESTART_GRACE_S = 30.0
"""Time for open streams of a model that is not healthy, before another replica takes its place."""
LAST_STATUS_S = 1.0
"""Time for the last status of a drained replica."""
EXIT_S = 5.0
"""Time for the user's threads, pending work and exit handlers once everything is served; then the process just ends."""
CUT_SHORT_STATUS = 128 + signal.SIGTERM

MakeServer = Callable[[str, str, PenstockSettings, Callable[[], None]], Server]
"""Called with replica id, deployment id, settings and what to call on every change."""

_log = structlog.get_logger("runner")


class RunnerProcess:
    """One run of the process. Use it once, on the main thread: `status = await RunnerProcess(...).run()`."""

    def __init__(self, options: Options, make_server: MakeServer) -> None:
        self._options = options
        self._make_server = make_server
        self._boot_id = uuid.uuid4().hex
        self._started_at_s = time.time()
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._cut = asyncio.Event()
        self._stop_signals = 0
        self._server: Server | None = None
        self._replica = Replica(None, self._loop, self._cut_streams)
        self._line: ControlLine | None = None
        self._chain: ChainMember | None = None
        self._load_thread: threading.Thread | None = None
        self._run_facts: dict[str, object] = {}
        self._restart_reason: str | None = None

    @property
    def is_loading(self) -> bool:
        """Whether the user's code still runs on the load thread, which nothing can end."""
        return self._load_thread is not None and self._load_thread.is_alive()

    async def run(self) -> int:
        """Returns the exit status once there is nothing left to serve."""
        self._watch_signals()
        try:
            return await self._run()
        finally:
            if self._chain is not None:
                await self._chain.stop()

    async def _run(self) -> int:
        try:
            config = load_config(self._options.model_dir)
            for warning in config.warnings:
                _log.warning("config_doubtful", problem=str(warning))
            await self._listen(config)
            model = await self._load(config)
        except ConfigError as exc:
            return await self._fail(ModelLoadError(str(exc)))
        except ModelLoadError as exc:
            return await self._fail(exc)
        if model is not None:
            self._replica.serve(model, MemoryWatch(memory_limit(config)))
            _log.info("model_ready", endpoints=model.endpoints)
            await self._stop.wait()
        if self._restart_reason is not None:
            return await self._give_up(self._restart_reason)
        return await self._drain()

    async def _listen(self, config: TrussConfig) -> None:
        options = self._options
        server = self._make_server(options.replica_id, options.deployment_id, config.penstock, self._changed)
        try:
            address = await server.start(options.listen)
        except (OSError, RuntimeError) as exc:
            raise ModelLoadError(f"--listen: cannot listen on {options.listen}: {describe_exception(exc)}") from exc
        self._server = server
        self._replica = Replica(server, self._loop, self._cut_streams)
        if self._options.controller is not None and is_chainlet(config):
            self._chain = ChainMember(self._options.replica_id)
            self._replica.on_peers = self._chain.take
        self._write_run_file(address)
        self._attach(address)
        _log.info("runner_listening", address=address, pid=os.getpid(), deployment=options.deployment_name)

    async def _load(self, config: TrussConfig) -> ModelLife | None:
        """Returns the model; None when the process is to stop before it is loaded."""
        directory = self._options.model_dir
        environment = first_environment(environment_file(), self._options.environment)
        prepare(directory, config, model_id=self._options.deployment_name, deployment_id=self._options.deployment_id)
        deadline = time.monotonic() + config.startup_timeout_s
        loaded: asyncio.Future[LoadedModel] = self._loop.create_future()

        def work() -> None:
            result: LoadedModel | BaseException
            try:
                result = load_model(directory, config, environment=environment)
            except BaseException as exc:
                result = exc
            self._from_thread(lambda: _resolve(loaded, result))

        # A daemon: when the model hangs, the process must be able to end all the same.
        thread = threading.Thread(target=contextvars.copy_context().run, args=(work,), name="model-load", daemon=True)
        self._load_thread = thread
        thread.start()
        stopped = asyncio.create_task(self._stop.wait(), name="stop")
        try:
            await asyncio.wait((loaded, stopped), timeout=config.startup_timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
        if loaded.done():
            life = ModelLife(
                loaded.result(),
                directory,
                config,
                environment,
                on_traffic=lambda is_healthy: self._replica.set_healthy(is_healthy),
                on_restart=self._restart,
            )
            return life if await self._healthy(life, deadline, config) else None
        if self._stop.is_set():
            return None
        raise ModelLoadError(
            f"The model did not load within {config.startup_timeout_s:g} s "
            "(`runtime.health_checks.startup_threshold_seconds` in config.yaml). This is where it is:",
            self._where(thread, config),
        )

    async def _healthy(self, life: ModelLife, deadline: float, config: TrussConfig) -> bool:
        """Waits for the model's first good health check; returns False when the process is to stop before."""
        waiting = asyncio.create_task(life.wait_healthy(), name="first health check")
        stopped = asyncio.create_task(self._stop.wait(), name="stop")
        try:
            limit_s = max(0.0, deadline - time.monotonic())
            await asyncio.wait((waiting, stopped), timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            if not waiting.done():
                waiting.cancel()
        if waiting.done() and not waiting.cancelled():
            waiting.result()
            return True
        if self._stop.is_set():
            return False
        raise ModelLoadError(
            f"The model was loaded, but `is_healthy` did not say so within {config.startup_timeout_s:g} s "
            "(`runtime.health_checks.startup_threshold_seconds` in config.yaml)."
        )

    def _restart(self, reason: str) -> None:
        self._restart_reason = reason
        self._stop.set()

    async def _give_up(self, reason: str) -> int:
        """Ends a replica whose model is not healthy, so that another takes its place."""
        server = self._server
        assert server is not None
        self._replica.begin_drain()
        await server.stop(min(RESTART_GRACE_S, self._options.drain_timeout_s))
        return await self._fail(ModelLoadError(reason))

    async def _drain(self) -> int:
        server = self._server
        assert server is not None
        self._replica.begin_drain()
        _log.info("drain_started", active_streams=server.active_streams, timeout_s=self._options.drain_timeout_s)
        cut = await self._stop_server(server)
        await self._close_line(LAST_STATUS_S)
        self._replica.stop()
        _log.info("runner_stopped", streams_total=server.streams_total, streams_cut=cut)
        return 0

    async def _stop_server(self, server: Server) -> int:
        """Waits for open streams: to their end, the drain timeout or the end of a grace. Returns how many were cut."""
        stopping = asyncio.create_task(server.stop(self._options.drain_timeout_s), name="stop-server")
        cutting = asyncio.create_task(self._cut.wait(), name="cut")
        try:
            await asyncio.wait((stopping, cutting), return_when=asyncio.FIRST_COMPLETED)
            cut_now = 0 if stopping.done() else await server.stop(0.0)
            return max(await stopping, cut_now)
        finally:
            cutting.cancel()

    def _cut_streams(self) -> None:
        """The grace of a controller's drain is over."""
        self._cut.set()
        self._stop.set()

    async def _fail(self, error: ModelLoadError) -> int:
        # Under the key `exception` a log in text form shows the traceback as Python does.
        shown = {"exception": error.user_traceback} if error.user_traceback else {}
        _log.error("model_load_failed", reason=error.message, **shown)
        self._replica.fail(error.report())
        if self._line is None:
            self._attach("")
        await self._close_line(FAILURE_HEARD_S)
        self._replica.stop()
        if self._server is not None:
            await self._server.stop(0.0)
        return 1

    def _attach(self, address: str) -> None:
        if self._options.controller is None:
            return
        identity = Identity(
            replica_id=self._options.replica_id,
            deployment_id=self._options.deployment_id,
            boot_id=self._boot_id,
            address=address,
            pid=os.getpid(),
            pid_start_ticks=start_ticks(os.getpid()),
            version=importlib.metadata.version("penstock"),
            started_at_s=self._started_at_s,
        )
        line = ControlLine(
            self._options.controller, identity, self._replica, self._replica, on_alone=self._note_streams
        )
        self._replica.on_change = line.changed
        self._replica.answer_drain = lambda drain_id, accepted, active: line.answer_drain(
            drain_id, accepted=accepted, active_streams=active
        )
        self._replica.answer_reload = lambda reload_id, result: line.answer_reload(
            reload_id, reloaded=result.is_done, message=result.message, needs_restart=result.needs_restart
        )
        self._line = line
        line.start()

    async def _close_line(self, timeout_s: float) -> None:
        if self._line is None:
            return
        heard = await asyncio.to_thread(self._line.close, timeout_s)
        if not heard:
            _log.warning("controller_not_reached", address=self._options.controller)

    def _changed(self) -> None:
        self._replica.on_change()

    def _from_thread(self, call: Callable[[], Any]) -> None:
        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:
            # The process ends without the model; nobody waits for it any more.
            pass

    def _where(self, thread: threading.Thread, config: TrussConfig) -> str:
        frame = sys._current_frames().get(thread.ident or 0)
        if frame is None:
            return ""
        model_file = self._options.model_dir / config.model_module_dir / config.model_class_filename
        stack = traceback.StackSummary.extract(reversed(list(traceback.walk_stack(frame))))
        return f"{format_user_stack(stack, model_file)}\nnot loaded within {config.startup_timeout_s:g} s"

    def _write_run_file(self, address: str) -> None:
        path = self._options.run_file
        if path is None:
            return
        self._run_facts = {
            "replica_id": self._options.replica_id,
            "deployment_id": self._options.deployment_id,
            "pid": os.getpid(),
            "pid_start_ticks": start_ticks(os.getpid()),
            "address": address,
            "boot_id": self._boot_id,
        }
        try:
            write_atomically(path, json.dumps(self._run_facts) + "\n")
        except OSError as exc:
            raise ModelLoadError(f"--run-file: {path} cannot be written: {exc.strerror or exc}") from exc

    def _note_streams(self, status: Status) -> None:
        """Writes down what is served, for operators who look while there is no controller. Any thread."""
        path = self._options.run_file
        if path is None or not self._run_facts:
            return
        counts = {
            "state": status.state.value.lower(),
            "active_streams": status.active_streams,
            "stream_capacity": status.stream_capacity,
        }
        try:
            if path.exists():  # a controller that is gone for good may have removed it
                write_atomically(path, json.dumps({**self._run_facts, **counts}) + "\n")
        except OSError as exc:
            _log.warning("run_file_not_written", path=str(path), error=exc.strerror)

    def _watch_signals(self) -> None:
        # Not loop.add_signal_handler: that one would wait for a loop that the model blocks, and a second signal is to
        # end the process even then.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stop_signals += 1
        if self._stop_signals > 1:
            os._exit(CUT_SHORT_STATUS)
        self._replica.announce_stop()
        self._from_thread(self._stop.set)


def _resolve(loaded: asyncio.Future[LoadedModel], result: LoadedModel | BaseException) -> None:
    if loaded.done():
        return
    if isinstance(result, LoadedModel):
        loaded.set_result(result)
    else:
        loaded.set_exception(result)


def end_process(status: int, *, at_once: bool) -> None:
    """Makes sure that the process ends with `status`: at once, or EXIT_S from now when user code holds it up."""
    for output in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # the model may have closed or replaced it
            output.flush()
    if at_once:
        os._exit(status)
    timer = threading.Timer(EXIT_S, os._exit, (status,))
    timer.daemon = True
    timer.start()
