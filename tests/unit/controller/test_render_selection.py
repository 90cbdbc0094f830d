from __future__ import annotations

import pytest

from penstock.api.control.v1 import admin_pb2
from penstock_controller.cli.render.selection import NotFoundError, one, only
from penstock_testing import status_messages as messages

OLD = "echo-9z8y7x6w"


def status() -> admin_pb2.GetStatusResponse:
    return admin_pb2.GetStatusResponse(
        controller=messages.controller(),
        deployments=[
            messages.deployment(),
            messages.deployment(deployment_id=OLD, environments=[]),
            messages.deployment("voice", "voice-11111111", environments=["staging"]),
        ],
        replicas=[
            messages.replica("aaaaa"),
            messages.replica("ddddd", deployment_id=OLD),
            messages.replica("eeeee", deployment_id="voice-11111111"),
        ],
        edges=[messages.edge()],
    )


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        ([], [messages.ECHO, OLD, "voice-11111111"]),
        (["echo"], [messages.ECHO, OLD]),
        (["echo-9"], [OLD]),
        ([OLD, "voice"], [OLD, "voice-11111111"]),
        (["ec"], [messages.ECHO, OLD]),
    ],
)
def test_names_pick_deployments_with_their_replicas(names: list[str], ids: list[str]) -> None:
    picked = only(status(), names)

    assert [d.deployment_id for d in picked.deployments] == ids
    assert {r.deployment_id for r in picked.replicas} == set(ids)
    assert picked.controller == status().controller
    assert len(picked.edges) == 1


@pytest.mark.parametrize(
    ("name", "deployment_id"),
    [("echo", messages.ECHO), (OLD, OLD), ("echo-9", OLD), ("voice", "voice-11111111"), ("vo", "voice-11111111")],
)
def test_one_name_means_one_deployment(name: str, deployment_id: str) -> None:
    assert one(status(), name).deployment_id == deployment_id


def test_a_chainlet_is_meant_without_its_chain() -> None:
    found = status()
    found.deployments.append(messages.deployment("hello.RandInt", "hello.RandInt-0a1b2c3d"))

    assert one(found, "RandInt-0a1b2c3d").name == "hello.RandInt"
    assert [d.name for d in only(found, ["RandInt-0a1b2c3d"]).deployments] == ["hello.RandInt"]


def test_name_that_fits_none_says_what_there_is() -> None:
    with pytest.raises(NotFoundError, match=r"^no deployment 'nobody'; there are: echo, voice$"):
        only(status(), ["echo", "nobody"])
    with pytest.raises(NotFoundError, match="no deployment ''"):
        one(status(), "")
    with pytest.raises(NotFoundError, match="there is none at all"):
        one(admin_pb2.GetStatusResponse(), "echo")


def test_ambiguous_name_says_what_it_may_mean() -> None:
    shown = status()
    del shown.deployments[0].environments[:]

    for name in ("echo", "echo-"):
        with pytest.raises(NotFoundError, match=f"may mean {messages.ECHO}, {OLD}; name one by its id"):
            one(shown, name)


def test_many_names_are_not_all_listed() -> None:
    shown = admin_pb2.GetStatusResponse(deployments=[messages.deployment(f"m{n:02}", f"m{n:02}-1") for n in range(15)])

    with pytest.raises(NotFoundError, match=r"m09 and 5 more$"):
        one(shown, "x")


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("voice", ["voice-1", "voice.Hear-1", "voice-2", "voice.Hear-2"]),
        ("voice-1", ["voice-1", "voice.Hear-1"]),
        ("voice.Hear", ["voice.Hear-1", "voice.Hear-2"]),
        ("voice.Hear-2", ["voice.Hear-2"]),
    ],
)
def test_a_chain_and_a_version_of_it_mean_all_of_their_chainlets(name: str, ids: list[str]) -> None:
    chains = [
        messages.chainlet(chainlet, entry=chainlet == "Talk", version=version)
        for version in ("1", "2")
        for chainlet in ("Talk", "Hear")
    ]
    shown = admin_pb2.GetStatusResponse(deployments=[*chains, messages.deployment()])

    assert [d.deployment_id for d in only(shown, [name]).deployments] == ids


def test_for_one_deployment_the_name_of_a_chain_means_its_entrypoint() -> None:
    shown = admin_pb2.GetStatusResponse(
        deployments=[messages.chainlet("Hear"), messages.chainlet("Talk", "Hear", entry=True)]
    )

    assert one(shown, "voice").deployment_id == "voice-0a1b2c3d"
    assert one(shown, "voice.Hear").deployment_id == "voice.Hear-0a1b2c3d"
