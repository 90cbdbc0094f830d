"""One life of the controller: from the lock on its state folder to SIGTERM."""

from __future__ import annotations

import asyncio
import gc
import os
import secrets
import signal
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from penstock import __version__
from penstock.lifeline import watch_lifeline
from penstock.state_dir import (
    ControllerFile,
    controller_socket,
    lock_state_dir,
    prepare_state_dir,
    write_controller_file,
)
from penstock_controller.actuators.build_processes import BUILD_COMMAND, LocalBuilds
from penstock_controller.actuators.local import RUNNER_COMMAND, LocalActuator
from penstock_controller.reconciler import Reconciler
from penstock_controller.registry import Registry
from penstock_controller.schema import StoreVersionError
from penstock_controller.service import AddressError, ControllerServer, is_local
from penstock_controller.status_view import ControllerFacts
from penstock_controller.store import Store

DATABASE_FILE = "controller.db"

STOP_GRACE_S = 0.5
"""Time for answers under way when the controller ends; the calls of runners and edges are simply cut."""

log = structlog.get_logger("controller")


class ServeError(Exception):
    """The controller cannot start; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """Command line of `controller serve`."""

    state_dir: Path
    listen: str | None = None
    """None means the unix socket of the state folder."""
    lifeline_fd: int | None = None
    insecure: bool = False
    """Allows an address that other machines can reach, although nothing here authenticates them."""
    runner_command: Sequence[str] = RUNNER_COMMAND
    """What the local actuator starts."""
    build_command: Sequence[str] = BUILD_COMMAND
    """What prepares a deployment."""


def serve(options: ServeOptions) -> int:
    """Runs until SIGTERM or SIGINT, and returns the exit status. Replicas live on.

    Raises:
        ServeError: It cannot start.
        StateDirError: The state folder cannot be used.
    """
    try:
        if options.listen is not None and not options.insecure and not is_local(options.listen):
            raise ServeError(
                f"--listen {options.listen} can be reached from other machines, and callers are not authenticated; "
                "choose a loopback address or a unix socket, or say --insecure"
            )
    except AddressError as exc:
        raise ServeError(str(exc)) from exc
    if options.lifeline_fd is not None:
        try:
            watch_lifeline(options.lifeline_fd)
        except ValueError as exc:
            raise ServeError(str(exc)) from exc
    state_dir = prepare_state_dir(options.state_dir)
    lock = lock_state_dir(state_dir)
    try:
        store = Store(state_dir / DATABASE_FILE)
    except StoreVersionError as exc:
        raise ServeError(str(exc)) from exc
    except sqlite3.Error as exc:
        raise ServeError(f"{state_dir / DATABASE_FILE} cannot be used: {exc}; restore or remove it") from exc
    try:
        asyncio.run(_serve(options, state_dir, store))
    except AddressError as exc:
        raise ServeError(str(exc)) from exc
    finally:
        store.close()
        os.close(lock)
    return 0


async def _serve(options: ServeOptions, state_dir: Path, store: Store) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    server = ControllerServer(options.listen or f"unix:{controller_socket(state_dir)}")
    epoch = store.next_epoch()
    actuator = LocalActuator(
        state_dir,
        controller_address=server.address,
        lifeline_fd=options.lifeline_fd,
        runner_command=options.runner_command,
    )
    reconciler = Reconciler(
        registry=Registry(epoch=epoch, now=time.monotonic()),
        store=store,
        actuator=actuator,
        clock=time.monotonic,
        wall=time.time,
        builds=LocalBuilds(state_dir, time.monotonic, lifeline_fd=options.lifeline_fd, command=options.build_command),
    )
    facts = ControllerFacts(
        controller_id=secrets.token_hex(4),
        version=__version__,
        pid=os.getpid(),
        started_wall=time.time(),
        address=server.address,
        state_dir=str(state_dir),
        actuator=actuator.name,
    )
    server.add_services(reconciler, facts, time.monotonic, time.time)
    try:
        # Places are known before the first runner is heard.
        await reconciler.open()
        await server.start()
        write_controller_file(state_dir, ControllerFile(server.address, os.getpid(), epoch))
        log.info("controller_started", address=server.address, epoch=epoch, state_dir=str(state_dir))
        with _settled_memory():
            await ended.wait()
        log.info("controller_stopping", epoch=epoch)
    finally:
        await reconciler.close()
        await server.stop(STOP_GRACE_S)


@contextmanager
def _settled_memory() -> Iterator[None]:
    """Keeps garbage collection short: what is there now stays, and of a large fleet little is garbage."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
