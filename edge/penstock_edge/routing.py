"""Which deployment a request is for, by its path and host, out of the newest snapshot. Pure.

/model/NAME[/environments/ENV|/deployment/ID|/development|/production]/ENDPOINT     (the same under /chain/)
model-NAME.… and chain-NAME.… as host, with what follows NAME above as path; model-NAME-ENV.… names ENV too
/v1/…, /ping and /invocations, the paths of a Truss server      while one deployment is served
what a deployment claims in `penstock.routes`

ENDPOINT is websocket, predict (run_remote of a chain), async_predict (async_run_remote), sync/PATH (PATH at the model's
own server), wake, async_queue_status or async_request/ID.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from urllib.parse import unquote

from penstock.api.control.v1 import control_pb2
from penstock.candidate import ReplicaReport
from penstock_edge.settings import StreamSettings

PRODUCTION = "production"
DEVELOPMENT = "development"

_ENDPOINTS = {
    False: {"websocket": "websocket", "predict": "predict", "async_predict": "async_predict"},
    True: {"websocket": "websocket", "run_remote": "predict", "async_run_remote": "async_predict"},
}
"""By whether the deployment is a chain: names in paths, and what they mean."""

_COMMON_ENDPOINTS = frozenset({"wake", "async_queue_status"})

_PREDICT_PATH = b"/v1/models/model:predict"
_SERVER_PATHS = frozenset(
    {
        b"/ping",
        b"/invocations",
        b"/v1/chat/completions",
        b"/v1/completions",
        b"/v1/embeddings",
        b"/v1/messages",
        b"/v1/responses",
    }
)
"""Further paths of a Truss server (truss.md section 5)."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployment that can be reached."""

    id: str
    name: str
    is_chain: bool
    environments: tuple[str, ...]
    routes: tuple[str, ...]
    settings: StreamSettings
    via: str | None = field(default=None, compare=False)
    """Environment by which it was asked for; None when it was asked for by its id."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request goes."""

    deployment: Deployment
    endpoint: str
    """"websocket", "predict", "sync", "async_predict", "async_request", "wake" or "async_queue_status"."""
    suffix: bytes = b""
    """What follows the endpoint in the path, as the client sent it."""

    @property
    def model_path(self) -> bytes:
        """Path of a request at the model's own server."""
        return self.suffix if self.endpoint == "sync" else _PREDICT_PATH


class RoutingTable:
    """Every deployment of a snapshot, indexed by what requests name. Immutable."""

    __slots__ = ("_by_environment", "_by_id", "_by_route", "_only", "deployments")

    def __init__(self, deployments: tuple[Deployment, ...] = ()) -> None:
        self.deployments = deployments
        self._by_id = {deployment.id: deployment for deployment in deployments}
        self._by_environment = {
            (deployment.is_chain, deployment.name, environment): replace(deployment, via=environment)
            for deployment in deployments
            for environment in deployment.environments
        }
        self._by_route = {
            route: replace(deployment, via=deployment.environments[0])
            for deployment in deployments
            if deployment.environments
            for route in deployment.routes
        }
        served = [found for (_, _, environment), found in self._by_environment.items() if environment == PRODUCTION]
        self._only = served[0] if len(served) == 1 else None

    @staticmethod
    def from_snapshot(snapshot: control_pb2.Snapshot) -> RoutingTable:
        """Builds the table of `snapshot`."""
        return RoutingTable(
            tuple(
                Deployment(
                    id=route.deployment_id,
                    name=route.name,
                    is_chain=route.kind == control_pb2.DEPLOYMENT_KIND_CHAIN,
                    environments=tuple(route.environments),
                    routes=tuple(route.routes),
                    settings=StreamSettings.from_message(route.settings),
                )
                for route in snapshot.deployments
            )
        )

    def by_id(self, deployment_id: str) -> Deployment | None:
        """Finds a deployment by its id."""
        return self._by_id.get(deployment_id)

    def by_name(
        self, name: str | None, *, environment: str | None = None, deployment_id: str | None = None
    ) -> Deployment | None:
        """Finds what an internal caller names; without a name, the only deployment that is served."""
        if deployment_id is not None:
            found = self._by_id.get(deployment_id)
            return found if found is not None and name in (None, found.name) else None
        if name is None:
            return self._only if environment in (None, PRODUCTION) else None
        key = (name, environment or PRODUCTION)
        return self._by_environment.get((False, *key)) or self._by_environment.get((True, *key))

    def successor(self, deployment: Deployment) -> Deployment | None:
        """Finds what took the place of `deployment` in the environment by which it was asked for.

        None when nothing did: it is still there, it was asked for by its id, or its name is gone.
        """
        if deployment.via is None:
            return None
        found = self._by_environment.get((deployment.is_chain, deployment.name, deployment.via))
        return found if found is not None and found.id != deployment.id else None

    def match(self, host: str, raw_path: bytes) -> Route | None:
        """Finds the route of a request; None when nothing is served there.

        Args:
            host: value of the Host header, port included or not.
            raw_path: path as the client sent it, percent-encoded, without the query.
        """
        if not raw_path.startswith(b"/"):
            return None
        segments = raw_path.split(b"/")
        if len(segments) >= 4 and segments[0] == b"" and segments[1] in (b"model", b"chain"):
            return self._match_named(segments[1] == b"chain", unquote(segments[2].decode("latin-1")), segments[3:])
        claimed = self._by_route.get(raw_path.decode("latin-1"))
        if claimed is not None:
            return Route(claimed, "websocket")
        by_host = self._match_host(host.partition(":")[0], segments[1:])
        if by_host is not None:
            return by_host
        if self._only is not None:
            if raw_path == b"/v1/websocket":
                return Route(self._only, "websocket")
            if raw_path == _PREDICT_PATH:
                return Route(self._only, "predict")
            if raw_path in _SERVER_PATHS or raw_path.startswith(b"/v1/models/"):
                return Route(self._only, "sync", raw_path)
        return None

    def _match_host(self, host: str, segments: list[bytes]) -> Route | None:
        # Names of hosts have no case, and clients send them in lower case mostly.
        kind, dash, name = host.partition(".")[0].lower().partition("-")
        if not dash or kind not in ("model", "chain"):
            return None
        is_chain = kind == "chain"
        found = self._match_named(is_chain, name, segments)
        if found is not None:
            return found
        name, dash, environment = name.rpartition("-")
        deployment = self._by_environment.get((is_chain, name, environment)) if dash else None
        return _endpoint(deployment, segments) if deployment is not None else None

    def _match_named(self, is_chain: bool, name: str, segments: list[bytes]) -> Route | None:
        deployment: Deployment | None
        head = segments[0]
        if head in (b"environments", b"deployment") and len(segments) >= 3:
            value = unquote(segments[1].decode("latin-1"))
            rest = segments[2:]
            if head == b"environments":
                deployment = self._by_environment.get((is_chain, name, value))
            else:
                deployment = self._by_id.get(value)
                if deployment is not None and (deployment.name != name or deployment.is_chain != is_chain):
                    deployment = None
        elif head in (b"development", b"production") and len(segments) >= 2:
            deployment = self._by_environment.get((is_chain, name, head.decode()))
            rest = segments[1:]
        else:
            deployment = self._by_environment.get((is_chain, name, PRODUCTION))
            rest = segments
        return _endpoint(deployment, rest) if deployment is not None else None


def replica_reports(snapshot: control_pb2.Snapshot) -> Iterator[ReplicaReport]:
    """What `snapshot` tells of the replicas."""
    for route in snapshot.replicas:
        age = route.status_age
        yield ReplicaReport(
            replica_id=route.replica_id,
            deployment_id=route.deployment_id,
            address=route.address,
            is_ready=route.state == control_pb2.REPLICA_STATE_READY and not route.unhealthy,
            is_cordoned=route.cordoned,
            active_streams=route.active_streams,
            stream_capacity=route.stream_capacity,
            age_s=age.seconds + age.nanos / 1e9,
        )


def _endpoint(deployment: Deployment, segments: list[bytes]) -> Route | None:
    """Takes what follows the deployment in a path."""
    name = segments[0].decode("latin-1")
    if len(segments) == 1:
        endpoint = _ENDPOINTS[deployment.is_chain].get(name) or (name if name in _COMMON_ENDPOINTS else None)
        return Route(deployment, endpoint) if endpoint is not None else None
    if name == "sync":
        return Route(deployment, "sync", b"/" + b"/".join(segments[1:]))
    if name == "async_request" and len(segments) == 2:
        return Route(deployment, "async_request", segments[1])
    return None
