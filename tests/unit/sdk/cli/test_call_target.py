from __future__ import annotations

import pytest

from penstock.api.control.v1 import admin_pb2, chain_pb2
from penstock.cli import exit_status
from penstock.cli.call.target import Target, find_target
from penstock.cli.command_error import CommandError

PRODUCTION = admin_pb2.DeploymentStatus(
    name="m", deployment_id="m-1111aaaa", environments=["production"], endpoints=["predict"], source="/m"
)
STAGING = admin_pb2.DeploymentStatus(
    name="m", deployment_id="m-2222bbbb", environments=["qa"], endpoints=["websocket", "predict"]
)
LONELY = admin_pb2.DeploymentStatus(name="x", deployment_id="x-3333cccc")
OLD = admin_pb2.DeploymentStatus(name="old", deployment_id="old-4444dddd", environments=["production"], retired=True)
EDGE = admin_pb2.EdgeView(http_address="127.0.0.1:8000", grpc_address="127.0.0.1:8001")


def find(
    name: str,
    environment: str | None = None,
    deployment: str | None = None,
    url: str | None = None,
    *,
    edge: bool = True,
) -> Target:
    status = admin_pb2.GetStatusResponse(deployments=[STAGING, PRODUCTION, LONELY, OLD], edges=[EDGE] if edge else [])
    return find_target(status, name, environment=environment, deployment=deployment, url=url)


def refusal(name: str, environment: str | None = None, deployment: str | None = None) -> str:
    with pytest.raises(CommandError) as failed:
        find(name, environment, deployment)
    assert failed.value.status == exit_status.NOT_FOUND
    return str(failed.value)


def test_a_name_means_production() -> None:
    target = find("m")
    assert (target.kind, target.source, target.grpc) == ("predict", "/m", "127.0.0.1:8001")
    assert target.predict_url == "http://127.0.0.1:8000/model/m/predict"


def test_another_environment_has_its_own_path() -> None:
    target = find("m", environment="qa")
    assert target.kind == "websocket"
    assert target.predict_url == "http://127.0.0.1:8000/model/m/environments/qa/predict"


def test_a_deployment_may_be_named_by_the_beginning_of_its_id() -> None:
    path = "http://127.0.0.1:8000/model/m/deployment/m-2222bbbb/predict"
    assert find("m", deployment="m-2222").predict_url == path
    assert find("m-2222bbbb").predict_url == path


def test_nothing_is_known_of_a_model_that_was_never_loaded() -> None:
    assert find("x-3333cccc").kind is None


def test_what_is_not_there_is_named_with_what_is() -> None:
    assert refusal("y") == "no model or chain 'y'; there are: m, x"
    assert refusal("old") == "no model or chain 'old'; there are: m, x"
    assert "production of x points to no deployment; there are: x-3333cccc" in refusal("x")
    assert refusal("m", deployment="m-9") == "no deployment 'm-9' of m; there are: m-2222bbbb, m-1111aaaa"
    assert "the environment dev of m" in refusal("m", environment="dev")


def test_an_edge_may_be_named() -> None:
    assert find("m", url="https://edge:443/").predict_url == "https://edge:443/model/m/predict"
    assert find("m", url="http://other:1", edge=False).http == "http://other:1"


def test_without_an_edge_nothing_can_be_called() -> None:
    with pytest.raises(CommandError, match="no edge is connected"):
        find("m", edge=False)


def chainlet(name: str, deployment_id: str, endpoint: str, *, is_entrypoint: bool) -> admin_pb2.DeploymentStatus:
    place = chain_pb2.ChainPlace(chain="c", is_entrypoint=is_entrypoint)
    return admin_pb2.DeploymentStatus(
        name=name, deployment_id=deployment_id, environments=["production"], endpoints=[endpoint], chain=place
    )


CHAIN = admin_pb2.GetStatusResponse(
    deployments=[
        chainlet("c", "c-1", "websocket", is_entrypoint=True),
        chainlet("c.Inner", "c.Inner-1", "predict", is_entrypoint=False),
        PRODUCTION,
    ],
    edges=[EDGE],
)


def test_a_chain_is_called_by_its_own_paths() -> None:
    entrypoint = find_target(CHAIN, "c", environment=None, deployment=None, url=None)
    assert (entrypoint.kind, entrypoint.websocket_path) == ("websocket", "/chain/c/websocket")
    inner = find_target(CHAIN, "c.Inner", environment=None, deployment=None, url=None)
    assert (inner.kind, inner.predict_url) == ("predict", "http://127.0.0.1:8000/chain/c.Inner/run_remote")
    by_id = find_target(CHAIN, "c-1", environment=None, deployment=None, url=None)
    assert by_id.websocket_path == "/chain/c/deployment/c-1/websocket"


def test_inner_chainlets_are_not_listed() -> None:
    with pytest.raises(CommandError, match=r"no model or chain 'x'; there are: c, m$"):
        find_target(CHAIN, "x", environment=None, deployment=None, url=None)
