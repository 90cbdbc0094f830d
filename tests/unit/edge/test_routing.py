from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from penstock.api.control.v1 import control_pb2
from penstock.candidate import ReplicaReport
from penstock_edge.routing import Deployment, Route, RoutingTable, replica_reports
from penstock_edge.settings import StreamSettings


def deployment(
    id: str,
    name: str = "echo",
    *environments: str,
    is_chain: bool = False,
    routes: tuple[str, ...] = (),
) -> Deployment:
    return Deployment(id, name, is_chain, environments, routes, StreamSettings())


PRODUCTION = deployment("echo-1", "echo", "production", routes=("/ws", "/live/audio"))
STAGING = deployment("echo-2", "echo", "staging")
DEVELOPMENT = deployment("echo-3", "echo", "development")
CHAIN = deployment("talk-1", "talk", "production", is_chain=True)
SPACED = deployment("sp-1", "my model", "production", "qa/eu")
UNNAMED = deployment("old-1", "echo", routes=("/old",))
TABLE = RoutingTable((PRODUCTION, STAGING, DEVELOPMENT, CHAIN, SPACED, UNNAMED))
ALONE = RoutingTable((PRODUCTION, STAGING))


def found(host: str, path: str, table: RoutingTable = TABLE) -> tuple[str, str, bytes] | None:
    route = table.match(host, path.encode())
    return None if route is None else (route.deployment.id, route.endpoint, route.suffix)


@pytest.mark.parametrize(
    ("path", "id", "endpoint"),
    [
        ("/model/echo/websocket", "echo-1", "websocket"),
        ("/model/echo/predict", "echo-1", "predict"),
        ("/model/echo/production/websocket", "echo-1", "websocket"),
        ("/model/echo/production/predict", "echo-1", "predict"),
        ("/model/echo/environments/production/websocket", "echo-1", "websocket"),
        ("/model/echo/environments/staging/websocket", "echo-2", "websocket"),
        ("/model/echo/development/websocket", "echo-3", "websocket"),
        ("/model/echo/deployment/echo-2/websocket", "echo-2", "websocket"),
        ("/model/echo/deployment/old-1/predict", "old-1", "predict"),
        ("/chain/talk/websocket", "talk-1", "websocket"),
        ("/chain/talk/run_remote", "talk-1", "predict"),
        ("/chain/talk/environments/production/run_remote", "talk-1", "predict"),
        ("/chain/talk/deployment/talk-1/websocket", "talk-1", "websocket"),
        ("/model/my%20model/websocket", "sp-1", "websocket"),
        ("/model/%6d%79%20model/websocket", "sp-1", "websocket"),
        ("/model/my%20model/environments/qa%2Feu/websocket", "sp-1", "websocket"),
        ("/ws", "echo-1", "websocket"),
        ("/live/audio", "echo-1", "websocket"),
    ],
)
def test_every_form_of_a_path_leads_to_its_deployment(path: str, id: str, endpoint: str) -> None:
    assert found("localhost:8000", path) == (id, endpoint, b"")


def test_what_follows_sync_reaches_the_model_as_the_client_sent_it() -> None:
    assert found("h", "/model/echo/sync/v1/a%20b/") == ("echo-1", "sync", b"/v1/a%20b/")
    assert found("h", "/model/echo/environments/staging/sync/x") == ("echo-2", "sync", b"/x")


@pytest.mark.parametrize(
    "path",
    [
        "",
        "*",
        "/",
        "/model",
        "/model/echo",
        "/model/echo/",
        "/model/echo/sync",
        "/model/echo/websocket/",
        "/model/echo/websocket/more",
        "/model/echo/Websocket",
        "/model/echo/%77ebsocket",
        "/model/Echo/websocket",
        "/model/nothing/websocket",
        "/model//websocket",
        "//model/echo/websocket",
        "/model/echo/run_remote",
        "/model/talk/websocket",
        "/chain/echo/websocket",
        "/chain/talk/predict",
        "/model/echo/environments/websocket",
        "/model/echo/environments/nowhere/websocket",
        "/model/echo/deployment/talk-1/websocket",
        "/model/echo/deployment/nothing/websocket",
        "/model/talk/deployment/talk-1/websocket",
        "/chain/talk/development/websocket",
        "/model/my+model/websocket",
        "/model/my%20model/environments/qa/eu/websocket",
        "/ws/",
        "/ws/more",
        "/old",
        "/v1/websocket",
        "/v1/models/model:predict",
        "http://localhost/model/echo/websocket",
    ],
)
def test_near_misses_lead_nowhere(path: str) -> None:
    assert found("localhost", path) is None


@pytest.mark.parametrize(
    ("host", "path", "id"),
    [
        ("model-echo.api.example.com", "/websocket", "echo-1"),
        ("model-echo.api.example.com:8443", "/production/websocket", "echo-1"),
        ("model-echo.api.example.com", "/environments/staging/websocket", "echo-2"),
        ("model-echo.api.example.com", "/deployment/echo-3/websocket", "echo-3"),
        ("model-echo-staging.api.example.com", "/websocket", "echo-2"),
        ("MODEL-Echo.API.example.com", "/websocket", "echo-1"),
        ("chain-talk.localhost:8000", "/websocket", "talk-1"),
        ("chain-talk-production.localhost", "/run_remote", "talk-1"),
    ],
)
def test_host_names_lead_to_their_deployment(host: str, path: str, id: str) -> None:
    route = TABLE.match(host, path.encode())

    assert route is not None and route.deployment.id == id


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("model-echo.x", "/"),
        ("model-echo.x", "*"),
        ("model-echo.x", "/nothing"),
        ("model-echo-nowhere.x", "/websocket"),
        ("model-talk.x", "/websocket"),
        ("chain-echo.x", "/websocket"),
        ("models-echo.x", "/websocket"),
        ("model.x", "/websocket"),
        ("model-", "/websocket"),
        ("", "/websocket"),
        ("[::1]:8000", "/websocket"),
        ("echo.x", "/websocket"),
    ],
)
def test_other_hosts_lead_nowhere(host: str, path: str) -> None:
    assert found(host, path) is None


def test_name_with_a_dash_wins_over_a_name_and_an_environment() -> None:
    dashed = deployment("es-1", "echo-staging", "production")
    table = RoutingTable((PRODUCTION, STAGING, dashed))

    assert found("model-echo-staging.x", "/websocket", table) == ("es-1", "websocket", b"")


def test_path_wins_over_the_host() -> None:
    assert found("model-echo.x", "/chain/talk/websocket") == ("talk-1", "websocket", b"")


def test_short_paths_lead_to_the_only_deployment_that_is_served() -> None:
    assert found("h", "/v1/websocket", ALONE) == ("echo-1", "websocket", b"")
    assert found("h", "/v1/models/model:predict", ALONE) == ("echo-1", "predict", b"")
    assert found("h", "/v1/websocket", RoutingTable((STAGING,))) is None


def test_a_deployment_without_an_environment_claims_no_route() -> None:
    assert found("h", "/old") is None
    assert found("h", "/old", RoutingTable((deployment("n", "new", "production", routes=("/old",)), UNNAMED))) == (
        "n",
        "websocket",
        b"",
    )


@given(st.text(max_size=40), st.binary(max_size=60))
def test_no_request_breaks_the_table(host: str, path: bytes) -> None:
    for prefix in (b"", b"/", b"/model/", b"/model/echo/", b"/chain/talk/environments/"):
        route = TABLE.match(host, prefix + path)
        assert route is None or isinstance(route, Route)
        TABLE.match("model-echo.x", prefix + path)


def test_internal_callers_name_deployments() -> None:
    assert TABLE.by_name("echo") == PRODUCTION
    assert TABLE.by_name("echo", environment="staging") == STAGING
    assert TABLE.by_name("talk") == CHAIN
    assert TABLE.by_name(None, deployment_id="old-1") == UNNAMED
    assert TABLE.by_name("echo", deployment_id="talk-1") is None
    assert TABLE.by_name(None) is None
    assert ALONE.by_name(None) == PRODUCTION
    assert ALONE.by_name(None, environment="staging") is None
    assert TABLE.by_id("echo-3") is DEVELOPMENT


def test_snapshot_becomes_a_table() -> None:
    snapshot = control_pb2.Snapshot(
        deployments=[
            control_pb2.DeploymentRoute(
                deployment_id="t1",
                name="talk",
                kind=control_pb2.DEPLOYMENT_KIND_CHAIN,
                environments=["production"],
                routes=["/talk"],
                settings=control_pb2.StreamSettings(message_bytes_max=7),
            ),
            control_pb2.DeploymentRoute(deployment_id="e1", name="echo", environments=["production"]),
        ]
    )

    table = RoutingTable.from_snapshot(snapshot)

    assert found("h", "/talk", table) == ("t1", "websocket", b"")
    assert found("h", "/chain/talk/run_remote", table) == ("t1", "predict", b"")
    assert found("h", "/model/echo/predict", table) == ("e1", "predict", b"")
    talk = table.by_id("t1")
    assert talk is not None and talk.settings.message_bytes_max == 7


def test_every_replica_of_a_snapshot_is_reported_with_the_age_of_its_news() -> None:
    snapshot = control_pb2.Snapshot(
        replicas=[
            control_pb2.ReplicaRoute(
                replica_id="r1",
                deployment_id="d",
                address="h:1",
                state=control_pb2.REPLICA_STATE_READY,
                cordoned=True,
                active_streams=3,
                stream_capacity=4,
                status_age=Duration(seconds=1, nanos=500_000_000),
            ),
            control_pb2.ReplicaRoute(replica_id="r2", state=control_pb2.REPLICA_STATE_DRAINING),
        ]
    )

    assert list(replica_reports(snapshot)) == [
        ReplicaReport("r1", "d", "h:1", True, True, 3, 4, 1.5),
        ReplicaReport("r2", "", "", False, False, 0, 0, 0.0),
    ]
