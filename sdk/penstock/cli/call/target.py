"""Which model or chain is meant, what it is called by, and where: from the controller's state and the options. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from penstock.cli import exit_status
from penstock.cli.command_error import CommandError
from penstock.cli.edges import edge_addresses

if TYPE_CHECKING:
    from penstock.api.control.v1 import admin_pb2

Kind = Literal["predict", "websocket"]
PRODUCTION = "production"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A model or a chain that can be called."""

    name: str
    environment: str | None
    deployment: str | None
    kind: Kind | None
    """None: nothing is known about it."""
    http: str
    """ "http://host:port" of an edge, maybe with a path; https, too."""
    grpc: str = ""
    """ "host:port"; empty when it serves no gRPC."""
    source: str = ""
    """Directory of the model on the controller's machine; empty when not known."""
    is_chain: bool = False
    """A chain, or one chainlet of it."""

    @property
    def base_path(self) -> str:
        path = f"/{'chain' if self.is_chain else 'model'}/{quote(self.name, safe='')}"
        if self.deployment is not None:
            return f"{path}/deployment/{quote(self.deployment, safe='')}"
        if self.environment is not None:
            return f"{path}/environments/{quote(self.environment, safe='')}"
        return path

    @property
    def predict_url(self) -> str:
        return f"{self.http}{self.base_path}/{'run_remote' if self.is_chain else 'predict'}"

    @property
    def websocket_path(self) -> str:
        return f"{self.base_path}/websocket"


def find_target(
    status: admin_pb2.GetStatusResponse, name: str, *, environment: str | None, deployment: str | None, url: str | None
) -> Target:
    """Looks the model up.

    Args:
        name: Of a model or a chain, CHAIN.CHAINLET for a chainlet; the id of a deployment names both.
        url: Of an edge, instead of the one that the controller knows.

    Raises:
        CommandError: There is no such model, or no edge.
    """
    found = _find(status.deployments, name, environment, deployment)
    edges = edge_addresses(status)
    if not edges.http and url is None:
        raise CommandError("no edge is connected to the controller; start one, or name one with --url")
    is_by_id = found.name != name
    return Target(
        name=found.name,
        environment=None if is_by_id else environment,
        deployment=found.deployment_id if is_by_id or deployment else None,
        kind=_kind(found.endpoints),
        http=(url or edges.http).rstrip("/"),
        grpc=edges.grpc,
        source=found.source,
        is_chain=found.HasField("chain"),
    )


def _find(
    deployments: Sequence[admin_pb2.DeploymentStatus], name: str, environment: str | None, deployment: str | None
) -> admin_pb2.DeploymentStatus:
    live = [item for item in deployments if not item.retired]
    named = [item for item in live if item.name == name]
    if deployment is not None:
        found = [item for item in named if item.deployment_id.startswith(deployment)]
        if len(found) == 1:
            return found[0]
        ids = ", ".join(item.deployment_id for item in named) or "none"
        raise CommandError(f"no deployment {deployment!r} of {name}; there are: {ids}", exit_status.NOT_FOUND)
    wanted = environment or PRODUCTION
    for item in named:
        if wanted in item.environments:
            return item
    by_id = [item for item in live if item.deployment_id == name]
    if by_id and environment is None:
        return by_id[0]
    if named:
        ids = ", ".join(item.deployment_id for item in named)
        raise CommandError(
            f"the environment {wanted} of {name} points to no deployment; there are: {ids} (--deployment)",
            exit_status.NOT_FOUND,
        )
    # Inner chainlets are named by who knows them.
    shown = {item.name for item in live if not item.HasField("chain") or item.chain.is_entrypoint}
    names = ", ".join(sorted(shown)) or "none is deployed"
    raise CommandError(f"no model or chain {name!r}; there are: {names}", exit_status.NOT_FOUND)


def _kind(endpoints: Sequence[str]) -> Kind | None:
    if "websocket" in endpoints:
        return "websocket"
    return "predict" if endpoints else None
