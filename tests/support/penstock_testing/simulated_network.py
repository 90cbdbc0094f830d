"""A network in memory that stands in for grpc.aio: calls with delay, jitter, breaks and partitions, in virtual time.

A gRPC stream loses no single message: what is sent arrives in order, or the call breaks. A partition holds everything
back; it breaks a call only when it outlasts that side's keepalive, so one side may believe in a call that is over for
the other. The death of a node breaks all of its calls, and nothing that its tasks still do has an effect.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import grpc.aio

from penstock_testing.simulated_calls import Call, Channel, Server
from penstock_testing.simulated_node import Node, make_task

SERVER_KEEPALIVE_S = 50.0
"""Silence after which a server ends a call (30 s and 20 s, see the options of the controller)."""

RESET_S = 3.0
"""Time after the end of a partition in which a side that has given up is heard: it answers the next heartbeat."""

RESET_S = 3.0
"""Time after the end of a partition in which a side that has given up is heard: it answers the next heartbeat."""


class Network:
    """All nodes, and what is between them.

    Args:
        delay_s: least and most time that a message takes.
        on_error: told of what no program expected.
    """

    def __init__(
        self, seeded: random.Random, delay_s: tuple[float, float], on_error: Callable[[str], None] = lambda _: None
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.loop.set_task_factory(make_task)
        self.random = seeded
        self.on_error = on_error
        self._delay_s = delay_s
        self._seed = seeded.random()
        self._call_counts: Counter[str] = Counter()
        self.listeners: dict[str, list[Server]] = {}
        self.calls: dict[Call, None] = {}
        self._cuts: dict[frozenset[str], int] = {}
        self._cut_count = 0
        self._ports = 0
        self.harmed_at: dict[frozenset[str], float] = {}
        """When calls between two nodes last broke, or could break, through a fault of the network."""

    def delay(self, seeded: random.Random | None = None) -> float:
        return (seeded or self.random).uniform(*self._delay_s)

    def random_of(self, client: Node, server: Node | None) -> random.Random:
        """Returns the dice of the next call between two nodes.

        Not those of all: programs keep sets whose order differs from run to run, and with it who sends first.
        """
        key = f"{client.name} {'' if server is None else server.name}"
        self._call_counts[key] += 1
        return random.Random(f"{self._seed} {key} {self._call_counts[key]}")

    def next_port(self) -> int:
        self._ports += 1
        return self._ports

    def is_cut(self, one: Node, other: Node) -> bool:
        return frozenset((one.name, other.name)) in self._cuts

    # Faults.

    def break_calls(self, one: str, other: str) -> None:
        """The connections between two nodes are reset."""
        self.harmed_at[frozenset((one, other))] = self.loop.time()
        for call in self._between(one, other):
            call.break_client("connection reset")
            call.break_server()

    def cut(self, one: str, other: str, *, answers_pings: bool = False) -> None:
        """Nothing passes between two nodes until `heal`.

        Args:
            answers_pings: the connections live on, as when a program does not read what its gRPC has taken.
        """
        pair = frozenset((one, other))
        self._cut_count += 1
        number = self._cuts[pair] = self._cut_count
        if answers_pings:
            return
        self.harmed_at[pair] = self.loop.time()
        for call in self._between(one, other):
            for after, broken in (
                (call.keepalive_s, self._keepalive_client),
                (SERVER_KEEPALIVE_S, self._keepalive_server),
            ):
                self.loop.call_later(self.random.uniform(0.4, 1.0) * after, broken, call, pair, number)

    def heal(self, one: str, other: str) -> None:
        pair = frozenset((one, other))
        if self._cuts.pop(pair, None) is not None:
            self.harmed_at[pair] = self.loop.time()
            for call in self._between(one, other):
                call.healed()
                # Whoever has given up says so as soon as it can be heard, or answers the next ping with a reset.
                if call.is_client_over:
                    self.loop.call_later(self.random.uniform(0.0, RESET_S), call.break_server)
                elif call.context is not None and call.context.is_over:
                    self.loop.call_later(self.random.uniform(0.0, RESET_S), call.break_client, "connection reset")

    def heal_all(self) -> None:
        for pair in list(self._cuts):
            one, other = sorted(pair)
            self.heal(one, other)

    def kill(self, node: Node) -> None:
        """The process is gone: whoever talks to it sees its calls break after a moment."""
        if not node.is_alive:
            return
        node.kill()
        for servers in self.listeners.values():
            for server in [server for server in servers if server.node is node]:
                servers.remove(server)
        for call in list(self.calls):
            client, server_node = call.nodes()
            if client is node:
                self.loop.call_later(self.delay(), call.break_server)
            elif server_node is node:
                self.loop.call_later(self.delay(), call.break_client, "connection reset")

    def _keepalive_client(self, call: Call, pair: frozenset[str], number: int) -> None:
        if self._cuts.get(pair) == number:
            call.break_client("keepalive")

    def _keepalive_server(self, call: Call, pair: frozenset[str], number: int) -> None:
        if self._cuts.get(pair) == number:
            call.break_server()

    def _between(self, one: str, other: str) -> list[Call]:
        found = []
        for call in self.calls:
            client, server = call.nodes()
            if server is not None and {client.name, server.name} == {one, other}:
                found.append(call)
        return found

    # In place of gRPC.

    @contextmanager
    def in_place_of_grpc(self) -> Iterator[None]:
        """grpc.aio makes channels and servers of this network meanwhile."""

        def channel(address: str, options: Iterable[tuple[str, Any]] = (), **_: Any) -> Channel:
            return Channel(self, address, options)

        def server(**_: Any) -> Server:
            return Server(self)

        with mock.patch.object(grpc.aio, "insecure_channel", channel), mock.patch.object(grpc.aio, "server", server):
            yield
