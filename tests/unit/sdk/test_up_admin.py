from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import grpc
import pytest

from penstock.api.control.v1 import admin_pb2, admin_pb2_grpc, chain_pb2, control_pb2
from penstock.cli.up.admin import Admin, AdminError, ChainVersion, Created, ReloadOutcome
from penstock.cli.up.observation import Phase
from penstock.cli.up.readiness import Wanted
from penstock_testing.fake_admin import FakeAdmin as SupportAdmin
from penstock_testing.fake_admin import refusal, served

T = TypeVar("T")


class FakeAdmin(admin_pb2_grpc.AdminServiceServicer):
    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.status = admin_pb2.GetStatusResponse()
        self.refuse: str | None = None

    def GetStatus(
        self, request: admin_pb2.GetStatusRequest, context: grpc.ServicerContext
    ) -> admin_pb2.GetStatusResponse:
        self._check(context)
        return self.status

    def ApplyDeployments(
        self, request: admin_pb2.ApplyDeploymentsRequest, context: grpc.ServicerContext
    ) -> admin_pb2.ApplyDeploymentsResponse:
        self._check(context)
        self.requests.append(request)
        return admin_pb2.ApplyDeploymentsResponse(
            deployments=[admin_pb2.AppliedDeployment(name="echo", deployment_id="echo-1")]
        )

    def StopReplicas(
        self, request: admin_pb2.StopReplicasRequest, context: grpc.ServicerContext
    ) -> admin_pb2.StopReplicasResponse:
        self._check(context)
        self.requests.append(request)
        return admin_pb2.StopReplicasResponse(stopped=2, cut_streams=3)

    def _check(self, context: grpc.ServicerContext) -> None:
        if self.refuse is not None:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, self.refuse)


@pytest.fixture
def fake() -> FakeAdmin:
    return FakeAdmin()  # type: ignore[abstract]  # the calls that are not faked


@pytest.fixture
def address(fake: FakeAdmin, tmp_path: Path) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(2))
    admin_pb2_grpc.add_AdminServiceServicer_to_server(fake, server)
    address = f"unix:{tmp_path}/controller.sock"
    server.add_insecure_port(address)
    server.start()
    yield address
    server.stop(None).wait()


def ask(address: str, call: Callable[[Admin], Awaitable[T]]) -> T:
    async def main() -> T:
        admin = Admin(address)
        try:
            return await call(admin)
        finally:
            await admin.close()

    return asyncio.run(main())


def test_state_is_read(fake: FakeAdmin, address: str) -> None:
    fake.status.controller.epoch = 4
    fake.status.controller.snapshot_version = 7
    fake.status.deployments.add(
        name="echo", deployment_id="echo-1", ready_replicas=1, starting_replicas=2, active_streams=5
    )
    fake.status.replicas.add(
        replica_id="echo-1-x",
        deployment_id="echo-1",
        state=control_pb2.REPLICA_STATE_FAILED,
        pid=12,
        log_path="/log",
        message="boom",
    )
    fake.status.replicas.add(replica_id="echo-1-y", deployment_id="echo-1")
    fake.status.edges.add(pid=1, http_address="127.0.0.1:1", draining=True)
    fake.status.edges.add(pid=2, http_address="127.0.0.1:2", snapshot_epoch=4, snapshot_version=6)
    observation = ask(address, Admin.observe)
    assert observation is not None
    assert (observation.epoch, observation.snapshot_version, observation.active_streams) == (4, 7, 5)
    (deployment,) = observation.deployments
    assert (deployment.ready, deployment.starting) == (1, 2)
    failed, starting = observation.replicas
    assert (failed.phase, failed.pid, failed.log_path, failed.message) == (
        Phase.FAILED,
        12,
        "/log",
        "boom",
    )
    assert starting.phase is Phase.STARTING
    (edge,) = observation.edges
    assert (edge.pid, edge.snapshot_version) == (2, 6)


def test_every_state_of_the_wire_is_known(fake: FakeAdmin, address: str) -> None:
    expected = {
        control_pb2.REPLICA_STATE_UNSPECIFIED: Phase.STARTING,
        control_pb2.REPLICA_STATE_STARTING: Phase.STARTING,
        control_pb2.REPLICA_STATE_READY: Phase.READY,
        control_pb2.REPLICA_STATE_DRAINING: Phase.DRAINING,
        control_pb2.REPLICA_STATE_FAILED: Phase.FAILED,
        control_pb2.REPLICA_STATE_LOST: Phase.LOST,
    }
    assert set(expected) == set(control_pb2.ReplicaState.values())
    for state in expected:
        fake.status.replicas.add(state=state)
    observation = ask(address, Admin.observe)
    assert observation is not None
    assert [replica.phase for replica in observation.replicas] == list(expected.values())


def test_controller_that_is_away_gives_no_state(tmp_path: Path) -> None:
    assert ask(f"unix:{tmp_path}/none.sock", Admin.observe) is None


def test_exactly_these_deployments_are_wanted(fake: FakeAdmin, address: str) -> None:
    wanted = ask(address, lambda admin: admin.apply([Path("/m/echo")], 3))
    assert wanted.wanted == (Wanted("echo", "echo-1", 3),)
    (request,) = fake.requests
    assert request.prune
    assert [(spec.source, spec.replicas) for spec in request.deployments] == [("/m/echo", 3)]


def test_refusal_is_told_in_the_words_of_the_controller(fake: FakeAdmin, address: str) -> None:
    fake.refuse = "name: too long"
    with pytest.raises(AdminError, match="refused the deployments: name: too long"):
        ask(address, lambda admin: admin.apply([Path("/m/echo")], 1))
    with pytest.raises(AdminError, match="did not stop the replicas: name: too long"):
        ask(address, lambda admin: admin.stop_replicas(0.0))
    with pytest.raises(AdminError, match="refused GetStatus: name: too long"):
        ask(address, Admin.observe)


def test_cut_streams_are_counted(fake: FakeAdmin, address: str) -> None:
    assert ask(address, lambda admin: admin.stop_replicas(1.5)) == 3
    assert fake.requests[0].grace.ToMilliseconds() == 1500


def ask_support(admin: SupportAdmin, call: Callable[[Admin], Awaitable[T]]) -> T:
    with served(admin) as address:
        return ask(address, call)


def test_a_new_deployment_is_for_production_and_of_this_machine() -> None:
    admin = SupportAdmin()
    admin.answer("CreateDeployment", admin_pb2.CreateDeploymentResponse(deployment_id="m-2", existed=True))
    assert ask_support(admin, lambda it: it.create(Path("/m"), 2)) == Created("m-2", existed=True)
    assert admin.requests["CreateDeployment"] == [
        admin_pb2.CreateDeploymentRequest(source="/m", environment="production", replicas=2)
    ]


def test_outcomes_of_a_reload_are_read() -> None:
    admin = SupportAdmin()
    replica = admin_pb2.ReloadedReplica(replica_id="m-1-a", message="no", needs_restart=True)
    admin.answer("ReloadDeployment", admin_pb2.ReloadDeploymentResponse(replicas=[replica]))
    assert ask_support(admin, lambda it: it.reload("m-1")) == (ReloadOutcome("m-1-a", False, "no", True),)
    assert admin.requests["ReloadDeployment"][0].deployment == "m-1"


def test_replicas_are_fixed_or_left_to_the_load() -> None:
    admin = SupportAdmin()
    admin.answer("ScaleDeployment", admin_pb2.ScaleDeploymentResponse())

    async def both(it: Admin) -> None:
        await it.set_replicas("m-1", 0)
        await it.set_replicas("m-1", None)

    ask_support(admin, both)
    assert admin.requests["ScaleDeployment"] == [
        admin_pb2.ScaleDeploymentRequest(deployment="m-1", replicas=0),
        admin_pb2.ScaleDeploymentRequest(deployment="m-1", automatic=True),
    ]


def test_what_serves_is_kept_or_renewed() -> None:
    admin = SupportAdmin()
    admin.answer("PromoteDeployment", admin_pb2.PromoteDeploymentResponse())
    admin.answer("ChangeReplicas", admin_pb2.ChangeReplicasResponse())

    async def both(it: Admin) -> None:
        await it.keep("m-1")
        await it.renew("m-1")

    ask_support(admin, both)
    assert admin.requests["PromoteDeployment"] == [
        admin_pb2.PromoteDeploymentRequest(deployment="m-1", environment="production", at_once=True)
    ]
    assert admin.requests["ChangeReplicas"] == [
        admin_pb2.ChangeReplicasRequest(change=admin_pb2.REPLICA_CHANGE_DRAIN, replicas=["m-1"])
    ]


def test_a_refused_change_is_told_in_the_words_of_the_controller() -> None:
    admin = SupportAdmin()
    admin.answer("CreateDeployment", refusal(grpc.StatusCode.INVALID_ARGUMENT, "no room"))
    with pytest.raises(AdminError, match="the controller refused: no room"):
        ask_support(admin, lambda it: it.create(Path("/m"), None))


def test_the_life_of_a_deployment_is_read(fake: FakeAdmin, address: str) -> None:
    fake.status.deployments.add(
        phase="BUILDING",
        blocked="no GPU",
        environments=["qa"],
        endpoints=["predict"],
        build_log_path="/logs/build",
    )
    observation = ask(address, Admin.observe)
    assert observation is not None
    (found,) = observation.deployments
    assert (found.phase, found.blocked, found.environments) == ("BUILDING", "no GPU", ("qa",))
    assert (found.endpoints, found.build_log_path) == (("predict",), "/logs/build")


CREATED_CHAIN = chain_pb2.CreatedChain(
    name="hello",
    chain_id="hello-1",
    existed=True,
    chainlets=[
        chain_pb2.CreatedChainlet(name="Inner", deployment_id="hello.Inner-1"),
        chain_pb2.CreatedChainlet(name="Entry", deployment_id="hello-1", is_entrypoint=True),
    ],
)
VERSION = ChainVersion("hello", "hello-1", True, (("Inner", "hello.Inner-1"), ("Entry", "hello-1")), "hello-1")


def test_chains_are_wanted_with_every_chainlet() -> None:
    admin = SupportAdmin()
    answer = admin_pb2.ApplyDeploymentsResponse(chains=[CREATED_CHAIN])
    admin.answer("ApplyDeployments", answer)
    spec = chain_pb2.ChainSpec(name="hello")
    applied = ask_support(admin, lambda it: it.apply([], None, [spec]))
    assert applied.chains == (VERSION,)
    assert applied.wanted == (Wanted("hello.Inner", "hello.Inner-1", 1), Wanted("hello", "hello-1", 1))
    assert list(admin.requests["ApplyDeployments"][0].chains) == [spec]


def test_a_version_of_a_chain_is_created() -> None:
    admin = SupportAdmin()
    admin.answer("CreateChain", chain_pb2.CreateChainResponse(chain=CREATED_CHAIN))
    spec = chain_pb2.ChainSpec(name="hello", environment="development")
    assert ask_support(admin, lambda it: it.create_chain(spec)) == VERSION
    assert admin.requests["CreateChain"] == [chain_pb2.CreateChainRequest(chain=spec)]


def test_another_environment_than_production_may_stay() -> None:
    admin = SupportAdmin()
    admin.answer("PromoteDeployment", admin_pb2.PromoteDeploymentResponse())
    ask_support(admin, lambda it: it.keep("m-1", "development"))
    assert [request.environment for request in admin.requests["PromoteDeployment"]] == ["development"]
