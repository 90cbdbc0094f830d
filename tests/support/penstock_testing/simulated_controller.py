"""Lives of the controller in virtual time: production's server, services and reconciler on one database.

A life can be killed at any moment, also between two statements of the database: then nothing of it acts any more. Or
it can be left behind: it goes on beside its successor, with a copy of the database and without the machine, as a
controller would that does not know that it was replaced.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from penstock_controller.actuators.base import ReplicaSpec
from penstock_controller.reconciler import Reconciler
from penstock_controller.records import Deployment
from penstock_controller.registry import Registry
from penstock_controller.service import ControllerServer
from penstock_controller.status_view import ControllerFacts
from penstock_controller.store import Store
from penstock_testing.simulated_machine import KilledError, Machine, SimulatedActuator
from penstock_testing.simulated_network import Network
from penstock_testing.simulated_node import Node
from penstock_testing.simulated_runner import SimulatedProcess

ADDRESS = "controller:1"
WALL = 1_700_000_000.0


class _FragileDatabase:
    """A connection that ends with the process, at a given statement if need be."""

    def __init__(self, connection: sqlite3.Connection, on_death: Callable[[], None]) -> None:
        self.connection = connection
        self._on_death = on_death
        self.dies_after: int | None = None
        """Statements that still write before the process dies; None: it lives."""
        self.is_dead = False

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        self._count(statement)
        return self.connection.execute(statement, *values)

    def executemany(self, statement: str, *values: Any) -> sqlite3.Cursor:
        self._count(statement)
        return self.connection.executemany(statement, *values)

    def _count(self, statement: str) -> None:
        if self.is_dead:
            raise KilledError
        if self.dies_after is not None and not statement.lstrip().startswith("SELECT"):
            self.dies_after -= 1
            if self.dies_after < 0:
                self._on_death()
                raise KilledError

    def die(self) -> None:
        self.is_dead = True
        # What was not committed is rolled back, as after a SIGKILL.
        self.connection.close()

    def close(self) -> None:
        self.die()


class ControllerLife:
    """One life, from its start to its death.

    Args:
        on_look: called after each look at a deployment.
    """

    def __init__(
        self,
        network: Network,
        machine: Machine,
        path: Path,
        number: int,
        *,
        check_stop: Callable[[ControllerLife, SimulatedProcess], None],
        check_start: Callable[[ControllerLife, ReplicaSpec], None],
        on_look: Callable[[ControllerLife, Deployment], None],
    ) -> None:
        self._network = network
        self.node = Node("controller" if number == 1 else f"controller-{number}")
        self.is_ready = False
        self.is_left_behind = False
        self.opened_at = network.loop.time()
        self._is_to_die_at_start = False
        self.store = Store(path)
        self._database = _FragileDatabase(self.store.__dict__["_db"], self.kill)
        self._use(self._database)
        self.actuator = SimulatedActuator(
            machine,
            check_stop=lambda process: check_stop(self, process),
            check_start=lambda spec: check_start(self, spec),
            dies_at_start=self._dies_at_start,
        )
        clock = network.loop.time
        self.registry = Registry(epoch=self.store.next_epoch(), now=clock())
        self.reconciler = Reconciler(
            registry=self.registry,
            store=self.store,
            actuator=self.actuator,
            clock=clock,
            wall=lambda: WALL + clock(),
        )
        self.world = self.reconciler.world
        self.operations = self.reconciler.operations
        look = self.reconciler.scaler.look

        def looked(deployment: Deployment, now: float) -> None:
            look(deployment, now)
            on_look(self, deployment)

        self.reconciler.scaler.__dict__["look"] = looked

    @property
    def epoch(self) -> int:
        return self.registry.epoch

    @property
    def is_alive(self) -> bool:
        return self.node.is_alive

    async def open(self) -> None:
        """Begins to serve. Call it in a task of its node."""
        server = ControllerServer(ADDRESS)
        facts = ControllerFacts("simulated", "0", 1, WALL, ADDRESS, "/", "simulated")
        clock = self._network.loop.time
        server.add_services(self.reconciler, facts, clock, lambda: WALL + clock())
        await self.reconciler.open()
        await server.start()
        self.is_ready = True

    def kill(self) -> None:
        """SIGKILL."""
        if self.node.is_alive:
            self.actuator.is_dead = True
            self._database.die()
            self._network.kill(self.node)

    def kill_soon(self, statements: int) -> None:
        """It dies at a statement that writes, after `statements` others."""
        self._database.dies_after = statements

    def kill_at_start(self) -> None:
        """It dies while it starts the next replica, before or after the process exists."""
        self._is_to_die_at_start = True

    def live_on(self) -> None:
        """It does not die after all."""
        self._database.dies_after = None
        self._is_to_die_at_start = False

    def leave_behind(self) -> None:
        """A successor takes over its database and its machine; itself it does not know that."""
        self.is_left_behind = True
        self.actuator.is_dead = True
        copy = sqlite3.connect(":memory:", isolation_level=None)
        copy.row_factory = sqlite3.Row
        self._database.connection.backup(copy)
        self._database.connection.close()
        self._database.connection = copy

    def _dies_at_start(self) -> bool:
        if self._is_to_die_at_start:
            self.kill()
        return self._is_to_die_at_start

    def _use(self, database: _FragileDatabase) -> None:
        self.store.__dict__["_db"] = self.store.journal.__dict__["_db"] = database
