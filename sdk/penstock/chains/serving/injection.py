"""What the platform gives a chainlet when it is made: the context, and one stub for each dependency."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from penstock.chains.context import DeployedServiceDescriptor, DeploymentContext, Environment
from penstock.chains.description import ChainletDescription, Dependency
from penstock.chains.errors import ChainsRuntimeError
from penstock.chains.names import CHAIN_API_KEY_SECRET
from penstock.chains.registry import describe
from penstock.chains.remote.runtime import ChainRuntime, Peers, installed
from penstock.chains.remote.stub import make_stub

PEERS_TIMEOUT_S: Final = 60.0
"""Time that the controller has to say where the other chainlets are."""
EDGE_TIMEOUT_S: Final = 10.0
"""Time that an edge has to come up, for the URLs in the context. The calls of stubs do not need them."""
_POLL_S: Final = 0.05
NO_EDGE: Final = "no-edge.invalid"
"""Host of these URLs when none came."""


class Injector:
    """Makes what goes into a chainlet's `__init__`. Blocks: not for the event loop.

    Args:
        secrets: Read when they are asked for.
        environment: As the runner knows it, `{"name": …}`; None outside of environments.
    """

    def __init__(
        self,
        description: ChainletDescription,
        *,
        secrets: Mapping[str, str],
        data_dir: Path | None,
        environment: Mapping[str, Any] | None,
    ) -> None:
        self._description = description
        self._secrets = secrets
        self._data_dir = data_dir
        self._environment = environment

    def arguments(
        self, stubs: Mapping[str, object], services: Mapping[str, DeployedServiceDescriptor]
    ) -> dict[str, Any]:
        """Returns the keyword arguments of `__init__`."""
        arguments: dict[str, Any] = dict(stubs)
        if self._description.has_context:
            arguments["context"] = DeploymentContext(
                chainlet_to_service=services,
                secrets=self._secrets,
                data_dir=self._data_dir,
                environment=_environment(self._environment),
            )
        return arguments

    def services(self) -> dict[str, DeployedServiceDescriptor]:
        """Returns where the dependencies are, by class name.

        Raises:
            ChainsRuntimeError: there is no platform, it does not say, or it does not know one of them.
        """
        if not self._description.dependencies:
            return {}
        peers = _peers(self._runtime())
        return {
            dependency.chainlet.__name__: _descriptor(dependency, peers)
            for dependency in self._description.dependencies.values()
        }

    def stubs(self, services: Mapping[str, DeployedServiceDescriptor]) -> dict[str, object]:
        """Returns what stands for each dependency, by the parameter of `__init__`."""
        if not self._description.dependencies:
            return {}
        runtime = self._runtime()
        peers = runtime.peers(PEERS_TIMEOUT_S)
        return {
            parameter: self._stub(runtime, peers, dependency, services[dependency.chainlet.__name__])
            for parameter, dependency in self._description.dependencies.items()
        }

    def _stub(
        self, runtime: ChainRuntime, peers: Peers, dependency: Dependency, service: DeployedServiceDescriptor
    ) -> object:
        if describe(dependency.chainlet).is_truss:
            from penstock.chains.truss_chainlet import TrussHandle

            return TrussHandle(dependency.chainlet)
        transport = runtime.transport(peers.chainlets[dependency.display_name].deployment_id)
        api_key = self._secrets.get(CHAIN_API_KEY_SECRET, "")
        return make_stub(dependency, service, transport, api_key)

    def _runtime(self) -> ChainRuntime:
        runtime = installed()
        if runtime is None:
            names = ", ".join(f"`{found.display_name}`" for found in self._description.dependencies.values())
            raise ChainsRuntimeError(
                f"Chainlet `{self._description.display_name}` depends on {names}, and so needs a controller, which a "
                "runner that was started by itself has not. Use `penstock up` or `penstock chains push`; to run the "
                "chain in one process, `penstock chains run`."
            )
        return runtime


def _peers(runtime: ChainRuntime) -> Peers:
    peers = runtime.peers(PEERS_TIMEOUT_S)
    until = time.monotonic() + EDGE_TIMEOUT_S
    while not peers.http_address and time.monotonic() < until:
        time.sleep(_POLL_S)
        peers = runtime.peers(PEERS_TIMEOUT_S)
    return peers


def _descriptor(dependency: Dependency, peers: Peers) -> DeployedServiceDescriptor:
    peer = peers.chainlets.get(dependency.display_name)
    if peer is None:
        known = ", ".join(sorted(peers.chainlets)) or "none"
        raise ChainsRuntimeError(
            f"The chain `{peers.chain}` has no chainlet `{dependency.display_name}`; it has: {known}. Push it again."
        )
    address = peers.http_address or NO_EDGE
    return DeployedServiceDescriptor(
        name=dependency.chainlet.__name__,
        display_name=dependency.display_name,
        options=dependency.options,
        predict_url=f"http://{address}/chain/{peer.name}/deployment/{peer.deployment_id}/run_remote",
    )


def _environment(found: Mapping[str, Any] | None) -> Environment | None:
    name = (found or {}).get("name")
    return Environment(name=name) if isinstance(name, str) else None
