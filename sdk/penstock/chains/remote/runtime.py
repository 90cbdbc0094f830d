"""What the process has for calls to other chainlets: a runner installs it before the model loads, stubs ask for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio

    from penstock.chains.remote.transport import Transport


@dataclass(frozen=True, slots=True)
class Peer:
    """One chainlet of the chain."""

    chainlet: str
    """Its display name."""
    deployment_id: str
    name: str
    """Name of its deployment in paths: the chain's name, or "CHAIN.CHAINLET" for one that is not the entrypoint."""


@dataclass(frozen=True, slots=True)
class Peers:
    """What a chainlet can call, as the controller has told it last."""

    chain: str
    """The chain's name."""
    chain_id: str
    """Id of this version of the chain."""
    chainlets: Mapping[str, Peer]
    """By display name; this chainlet included."""
    edge_addresses: tuple[str, ...]
    """"host:port" where edges serve trunks for runners; empty while no edge is connected."""
    http_address: str
    """"host:port" where an edge serves HTTP and WebSocket; empty while none is connected."""


class ChainRuntime(Protocol):
    """The way to the other chainlets of the process's chain."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The runner's loop; transports belong to it."""

    def peers(self, timeout_s: float) -> Peers:
        """Returns the newest; waits for the first ones.

        It blocks every thread but the loop's: on the loop it returns what is there, or fails at once.

        Raises:
            ChainsRuntimeError: none came in time.
        """

    def transport(self, deployment_id: str) -> Transport:
        """Returns the way to a deployment. Cheap: nothing is dialled before the first call. Any thread may ask."""


_installed: ChainRuntime | None = None


def install(runtime: ChainRuntime | None) -> None:
    """Makes `runtime` the process's; None takes it away."""
    global _installed
    _installed = runtime


def installed() -> ChainRuntime | None:
    """Returns the process's runtime; None outside runners of chains."""
    return _installed
