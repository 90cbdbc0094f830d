"""Runs `penstock up` from the first process to the last."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from penstock.chains.chain_file import ChainFile
from penstock.chains.generated import GeneratedChain
from penstock.cli.chains.chain_watch import ChainWatch, Watched
from penstock.cli.up.admin import PRODUCTION, Admin, AdminError, Applied, ChainVersion
from penstock.cli.up.caught_signals import caught_signals
from penstock.cli.up.chains import FOLDER as CHAINS_FOLDER
from penstock.cli.up.chains import ChainsInvalidError, UpChains
from penstock.cli.up.children import Child, ChildError, controller_command, edge_command
from penstock.cli.up.host_port import HostPort
from penstock.cli.up.log_pump import LogPump
from penstock.cli.up.log_tail import render_text as render_log_text
from penstock.cli.up.model_watch import ModelWatch
from penstock.cli.up.observation import Observation
from penstock.cli.up.options import ModelSource, UpOptions
from penstock.cli.up.ports import listen_problem
from penstock.cli.up.progress import View, make_view
from penstock.cli.up.readiness import Failed, ModelFailure, Readiness, Ready, Waiting, Wanted
from penstock.cli.up.report import Report, render_json, render_text
from penstock.cli.up.served_models import served_model
from penstock.cli.up.shell_commands import find_commands
from penstock.cli.up.shutdown import Shutdown
from penstock.cli.up.start_watch import StartWatch
from penstock.cli.up.transitions import describe_transitions
from penstock.lifeline import Lifeline
from penstock.process_env import child_environment
from penstock.state_dir import ControllerFile, read_controller_file, write_atomically

CONTROLLER_START_S = 60.0
"""Time for the controller to listen; it takes half a second on an idle machine."""
EDGE_START_S = 60.0
"""Time for the edge to be known to the controller once every replica is ready."""
STARTING_POLL_S = 0.1
READY_POLL_S = 1.0
LOG_CHECK_S = 1.0
"""How often the sizes of the logs of controller and edge are looked at; the controller bounds those of replicas."""
SILENCE_NOTED_S = 10.0
"""A controller that does not answer for so long is mentioned."""

EXIT_STOPPED = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Programs:
    """How the children are started."""

    controller: Callable[[Path, int], list[str]] = controller_command
    edge: Callable[[HostPort, HostPort | None, str, float, int], list[str]] = edge_command


def run_up(options: UpOptions, programs: Programs | None = None) -> int:
    """Serves until it is stopped or cannot go on; returns the exit status."""
    return asyncio.run(UpSession(options, make_view(), programs or Programs()).run())


class _StopRequestedError(Exception):
    """The user wants an end."""


class _ModelsFailedError(Exception):
    """Models that cannot be loaded."""

    def __init__(self, failures: tuple[ModelFailure, ...]) -> None:
        super().__init__(failures)
        self.failures = failures


class _SetupError(Exception):
    """Something outside is not as it must be; the message is for people."""


class UpSession:
    """One run of `penstock up`. Call `run` once."""

    def __init__(self, options: UpOptions, view: View, programs: Programs) -> None:
        self._options = options
        self._view = view
        self._programs = programs
        self._started_at = time.monotonic()
        self._lifeline = Lifeline()
        self._pump = LogPump(view)
        self._start_watch = StartWatch(
            [*(model.directory for model in options.models), *(chain.file.parent for chain in options.chains)]
        )
        self._chains = UpChains(options.chains, options.state_dir / CHAINS_FOLDER, view.note)
        self._is_generated = False
        self._admin: Admin | None = None
        self._names: dict[str, str] = {}
        self._was_ready = False
        self._listen = options.listen
        self._grpc_listen = options.grpc_listen
        self._controller = self._child("controller", self._controller_command)
        self._edge = self._child("edge", self._edge_command)
        self._shutdown = Shutdown(self._controller, self._edge, self._lifeline, view, options.drain_timeout_s)

    async def run(self) -> int:
        """Serves until it is stopped or cannot go on; returns the exit status. Nothing is left running."""
        stop, force = asyncio.Event(), asyncio.Event()
        with caught_signals(stop, force):
            try:
                async with asyncio.TaskGroup() as group:
                    pumping = group.create_task(self._pump.run(), name="log-pump")
                    bounding = group.create_task(self._bound_logs(), name="bound-logs")
                    status = await self._serve_until_end(stop)
                    self._remove_ready_file()
                    if not await self._shutdown.run(self._admin, force):
                        status = EXIT_INTERRUPTED
                    pumping.cancel()
                    bounding.cancel()
                self._pump.print_rest()
                if status not in (EXIT_FAILED, EXIT_USAGE):
                    self._view.note("stopped")
            finally:
                # Also on the way out of a defect of ours.
                await self._shutdown.end_everything()
                self._remove_ready_file()
                if self._admin is not None:
                    await self._admin.close()
                self._view.close()
        return status

    async def _serve_until_end(self, stop: asyncio.Event) -> int:
        status = EXIT_FAILED
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._serve(group), name="serve")
                group.create_task(_raise_when(stop), name="stop")
        except* _StopRequestedError:
            status = EXIT_STOPPED if self._was_ready else EXIT_INTERRUPTED
        except* _ModelsFailedError as failed:
            self._report_failures(failed.exceptions[0])
        except* ChainsInvalidError as invalid:
            self._view.close()
            self._view.error(f"penstock up: {invalid.exceptions[0]}")
            status = EXIT_USAGE
        except* (ChildError, AdminError, _SetupError) as broken:
            self._view.close()
            for error in broken.exceptions:
                self._view.error(f"penstock up: {error}")
        return status

    async def _serve(self, group: asyncio.TaskGroup) -> None:
        self._remove_ready_file()
        self._choose_ports()
        # Before anything is started: a chain that breaks a rule ends it at once.
        await self._generate_first()
        self._view.progress(("starting the controller",))
        await self._controller.start()
        group.create_task(self._controller.keep_running(), name="controller")
        contact = await self._wait_for_controller()
        admin = self._admin = Admin(contact.address)
        await self._edge.start()
        group.create_task(self._edge.keep_running(), name="edge")
        observation, applied = await self._apply_until_ready(admin)
        if self._options.watch:
            for model, item in zip(self._options.models, applied.models, strict=True):
                group.create_task(self._watch(admin, model, item).run(), name=f"watch {model.name}")
            for file, chain, version in zip(self._options.chains, self._chains.generated, applied.chains, strict=True):
                watch = self._watch_chain(admin, file, chain, version)
                group.create_task(watch.run(), name=f"watch {chain.name}")
        await self._narrate(admin, observation)

    async def _generate_first(self) -> None:
        if not self._options.chains:
            return
        try:
            await self._generate()
        except ChainsInvalidError:
            # A watch tells it when the rest is there, and waits for a save.
            if not self._options.watch:
                raise
        else:
            self._is_generated = True

    async def _generate(self) -> None:
        self._view.progress(tuple(f"importing {chain.file.name}" for chain in self._options.chains))
        if self._options.watch:
            await self._start_watch.begin()
        await self._chains.generate()

    async def _apply_until_ready(self, admin: Admin) -> tuple[Observation, Applied]:
        is_first = True
        while True:
            applied: Applied | None = None
            try:
                applied = await self._apply(admin)
            except (ChainsInvalidError, AdminError) as exc:
                if not self._options.watch or (is_first and isinstance(exc, AdminError)):
                    raise
                self._view.close()
                self._view.error(str(exc))
            if applied is not None:
                try:
                    return await self._wait_until_ready(admin, applied), applied
                except _ModelsFailedError as failed:
                    if not self._options.watch:
                        raise
                    self._report_failures(failed)
            is_first = False
            self._view.progress(("waiting for a file to be saved",))
            names = await self._start_watch.wait()
            self._view.close()
            self._view.note(f"{names} was saved; trying again")

    async def _apply(self, admin: Admin) -> Applied:
        if not self._is_generated:
            await self._generate()
        self._is_generated = False
        replicas = self._options.replicas
        directories = [model.directory for model in self._options.models]
        applied = await admin.apply(directories, replicas, self._chains.specs(replicas))
        self._names |= {item.deployment_id: item.name for item in applied.wanted}
        return applied

    def _watch(self, admin: Admin, model: ModelSource, wanted: Wanted) -> ModelWatch:
        def on_deployment(deployment_id: str, name: str) -> None:
            self._names[deployment_id] = name

        return ModelWatch(
            admin,
            name=model.name,
            directory=model.directory,
            deployment_id=wanted.deployment_id,
            replicas=self._options.replicas,
            read=self._start_watch.begun(model.directory),
            note=self._view.note,
            on_deployment=on_deployment,
        )

    def _watch_chain(self, admin: Admin, file: ChainFile, chain: GeneratedChain, version: ChainVersion) -> ChainWatch:
        def on_version(created: ChainVersion) -> None:
            self._names |= {item.deployment_id: item.name for item in created.wanted(1)}

        return ChainWatch(
            admin,
            Watched(
                source=file,
                folder=self._chains.folder_of(file),
                environment=PRODUCTION,
                replicas=self._options.replicas,
            ),
            chain=chain,
            version=version,
            read=self._start_watch.begun(file.file.parent),
            note=self._view.note,
            on_version=on_version,
        )

    def _choose_ports(self) -> None:
        if self._listen.port and (problem := listen_problem(self._listen)) is not None:
            raise _SetupError(f"cannot listen at {self._listen}: {problem}; choose another address with --listen")
        if self._grpc_listen is None or self._grpc_listen.port == 0:
            return
        if (problem := listen_problem(self._grpc_listen)) is not None:
            if not self._options.grpc_listen_is_default:
                raise _SetupError(
                    f"cannot listen at {self._grpc_listen}: {problem}; choose another address with --grpc-listen"
                )
            self._grpc_listen = self._grpc_listen.with_port(0)

    async def _wait_for_controller(self) -> ControllerFile:
        deadline = time.monotonic() + CONTROLLER_START_S
        while time.monotonic() < deadline:
            found = read_controller_file(self._options.state_dir)
            if found is not None and found.pid == self._controller.pid:
                return found
            await asyncio.sleep(STARTING_POLL_S)
        raise _SetupError(
            f"the controller did not listen within {CONTROLLER_START_S:.0f} s; its log: {self._controller.log_path}"
        )

    async def _wait_until_ready(self, admin: Admin, applied: Applied) -> Observation:
        readiness = Readiness(applied.wanted)
        edge_deadline: float | None = None
        while True:
            observation = await self._observe(admin)
            if observation is None:
                await asyncio.sleep(STARTING_POLL_S)
                continue
            verdict = readiness.judge(observation, self._edge.pid)
            match verdict:
                case Failed(failures):
                    raise _ModelsFailedError(failures)
                case Ready():
                    self._announce(observation, applied, verdict)
                    return observation
                case Waiting(progress):
                    self._view.progress(progress)
            if not verdict.for_edge:
                edge_deadline = None
            elif edge_deadline is None:
                edge_deadline = time.monotonic() + EDGE_START_S
            elif time.monotonic() > edge_deadline:
                raise _SetupError(
                    f"the edge did not take up its routes within {EDGE_START_S:.0f} s; its log: {self._edge.log_path}"
                )
            await asyncio.sleep(STARTING_POLL_S)

    def _announce(self, observation: Observation, applied: Applied, ready: Ready) -> None:
        # An edge that is started again must be found at the same addresses.
        self._listen = self._listen.with_port(HostPort.parse(ready.edge.http_address).port)
        if self._grpc_listen is not None and ready.edge.grpc_address:
            self._grpc_listen = self._grpc_listen.with_port(HostPort.parse(ready.edge.grpc_address).port)
        assert self._admin is not None, "there is no verdict without it"
        models = self._options.models
        report = Report(
            http=self._listen,
            grpc=self._grpc_listen if ready.edge.grpc_address else None,
            controller_address=self._admin.address,
            state_dir=str(self._options.state_dir),
            models=tuple(
                served_model(observation, item, model) for item, model in zip(applied.models, models, strict=True)
            ),
            chains=self._chains.served(observation, applied.chains),
            seconds=time.monotonic() - self._started_at,
            watched=self._options.watch,
            commands=find_commands(Path(sys.executable), Path.cwd(), os.environ.get("PATH", os.defpath)),
        )
        self._was_ready = True
        self._edge.mark_healthy()
        self._pump.print_new()
        self._view.close()
        self._view.text(f"\n{render_text(report)}\n")
        if self._options.ready_file is not None:
            try:
                write_atomically(self._options.ready_file, render_json(report))
            except OSError as exc:
                raise _SetupError(f"cannot write --ready-file {self._options.ready_file}: {exc.strerror}") from None

    async def _narrate(self, admin: Admin, before: Observation) -> None:
        """Tells of what happens from now on."""
        silent_since: float | None = None
        while True:
            await asyncio.sleep(READY_POLL_S)
            observation = await self._observe(admin)
            if observation is None:
                now = time.monotonic()
                silent_since = silent_since or now
                if now - silent_since > SILENCE_NOTED_S:
                    self._view.note(
                        "the controller does not answer; streams go on, but nothing is started or stopped. "
                        f"Its log: {self._controller.log_path}"
                    )
                    silent_since = now + 60.0
                continue
            silent_since = None
            for line in describe_transitions(before, observation, self._names):
                self._view.note(line)
            before = observation

    async def _bound_logs(self) -> None:
        while True:
            await asyncio.sleep(LOG_CHECK_S)
            for child in (self._controller, self._edge):
                await child.bound_log()

    async def _observe(self, admin: Admin) -> Observation | None:
        observation = await admin.observe()
        if observation is not None:
            self._controller.mark_healthy()
            self._pump.follow(observation, self._names)
            self._shutdown.remember(observation)
        return observation

    def _report_failures(self, error: BaseException) -> None:
        assert isinstance(error, _ModelsFailedError), "one task raises it, so the group holds it unwrapped"
        # The model's last words come before the verdict.
        self._pump.print_new()
        self._view.close()
        for failure in error.failures:
            reason = render_log_text(failure.reason).rstrip() or "it gave no reason"
            what = "the model cannot be loaded" if failure.replica_id else "the model cannot be built"
            log = f"\n\nIts whole output is in {failure.log_path}" if failure.log_path else ""
            self._view.error(f"\n{failure.name}: {what}\n\n{reason}{log}")

    def _remove_ready_file(self) -> None:
        if self._options.ready_file is not None:
            with contextlib.suppress(OSError):
                self._options.ready_file.unlink(missing_ok=True)

    def _child(self, name: str, command: Callable[[], list[str]]) -> Child:
        return Child(
            name,
            command,
            log_path=self._options.state_dir / "logs" / f"{name}.log",
            lifeline_fd=self._lifeline.read_fd,
            env=child_environment(os.environ),
            on_note=self._view.note,
        )

    def _controller_command(self) -> list[str]:
        return self._programs.controller(self._options.state_dir, self._lifeline.read_fd)

    def _edge_command(self) -> list[str]:
        assert self._admin is not None, "the edge is started once the controller listens"
        return self._programs.edge(
            self._listen,
            self._grpc_listen,
            self._admin.address,
            self._options.drain_timeout_s,
            self._lifeline.read_fd,
        )


async def _raise_when(stop: asyncio.Event) -> None:
    await stop.wait()
    raise _StopRequestedError
