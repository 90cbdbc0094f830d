from __future__ import annotations

from penstock_controller.cli.render.explain import render_explanation
from penstock_controller.cli.render.style import Style
from penstock_testing import status_messages as messages
from penstock_testing.golden import assert_golden
from penstock_testing.status_messages import NOW


def test_golden_explanation() -> None:
    assert_golden("explain", render_explanation(messages.explanation(), now_wall=NOW, style=Style()))


def test_golden_explanation_of_a_fixed_number() -> None:
    answer = messages.explanation()
    answer.deployment.CopyFrom(
        messages.deployment(
            superseded=True, min_replicas=0, manual_replicas=2, autoscaling=messages.autoscaling(metric="requests")
        )
    )
    answer.ClearField("now")
    answer.ClearField("next_look")
    del answer.history[:]

    assert_golden("explain_fixed", render_explanation(answer, now_wall=NOW, style=Style()))


def test_setting_that_does_not_hold_says_what_does() -> None:
    answer = messages.explanation()
    answer.deployment.superseded = True
    answer.deployment.min_replicas = 0

    (line,) = (
        line for line in render_explanation(answer, now_wall=NOW, style=Style()).split("\n") if "min_replica " in line
    )

    assert line.split(maxsplit=2) == ["min_replica", "1", "0 now, as it is superseded"]


def test_place_of_a_chainlet_is_told() -> None:
    answer = messages.explanation()
    answer.deployment.CopyFrom(messages.chainlet("Talk", "Hear", "Think", entry=True))

    lines = render_explanation(answer, now_wall=NOW, style=Style()).split("\n")

    assert "Chainlet:    Talk, entrypoint of chain voice (voice-0a1b2c3d), calls Hear, Think" in lines
