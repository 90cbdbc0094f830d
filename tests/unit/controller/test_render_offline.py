from __future__ import annotations

from dataclasses import replace

from penstock_controller.cli.render.offline import LivingRunner, offline_document, render_offline
from penstock_controller.cli.render.style import Style

RUNNER = LivingRunner("echo-0a1b2c3d-aaaaa", "echo-0a1b2c3d", 7, "127.0.0.1:7000", True, 5, 8)


def test_streams_are_counted_when_every_runner_has_told() -> None:
    runners = [RUNNER, replace(RUNNER, replica_id="r2", active_streams=16)]

    text = render_offline(runners, "/state", style=Style())

    assert text.startswith("CONTROLLER DOWN: 2 runners still serving 21 streams\n")
    assert "5/8 (62%)" in text
    assert text.endswith("controller serve --state-dir /state")


def test_number_is_left_out_when_one_has_not_told() -> None:
    silent = replace(RUNNER, replica_id="r2", admits=None, active_streams=None, stream_capacity=None)

    text = render_offline([RUNNER, silent], "/state", style=Style())

    assert text.startswith("CONTROLLER DOWN: 2 runners alive, and still serving what they have\n")
    assert "does not answer" in text
    assert render_offline([silent], "/state", style=Style()).startswith("CONTROLLER DOWN: 1 runner alive")


def test_state_is_what_the_runner_says() -> None:
    def state(runner: LivingRunner) -> str:
        return render_offline([runner], "/state", style=Style(headers=False)).split("\n")[2]

    assert "admits streams" in state(RUNNER)
    assert "admits none" in state(replace(RUNNER, admits=False))
    assert "does not listen yet" in state(replace(RUNNER, address="", admits=None))


def test_without_runners_there_is_nothing_but_what_to_do() -> None:
    text = render_offline([], "/state", style=Style())

    assert text.split("\n") == [
        "CONTROLLER DOWN: no runner of /state is alive.",
        "Start the controller again with: controller serve --state-dir /state",
    ]


def test_programs_get_the_same() -> None:
    document = offline_document([RUNNER], "/state", "no answer")

    assert document["kind"] == "ControllerDown"
    assert document["active_streams"] == 5
    assert document["replicas"][0]["streams"] == {"active": 5, "capacity": 8}
    assert offline_document([], None, "no answer")["replicas"] == []
