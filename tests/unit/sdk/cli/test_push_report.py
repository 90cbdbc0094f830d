from __future__ import annotations

import json
from dataclasses import replace

from penstock.cli.push.report import Pushed, render_json, render_text

PUSHED = Pushed(
    name="m",
    deployment_id="m-0123abcd",
    environment="",
    artifact="ab" * 32,
    was_uploaded=True,
    existed=False,
    edge="http://127.0.0.1:8000",
)


def test_a_deployment_of_its_own_is_called_by_its_id() -> None:
    assert render_text(PUSHED) == (
        "m: deployment m-0123abcd\n"
        "  http://127.0.0.1:8000/model/m/deployment/m-0123abcd/predict\n"
        "  ws://127.0.0.1:8000/model/m/deployment/m-0123abcd/websocket\n"
        "\n"
        "Call it:\n"
        "  penstock call m --deployment m-0123abcd\n"
        "See it start:\n"
        "  penstock logs m-0123abcd -f\n"
        "Take it into production:\n"
        "  controller promote m-0123abcd"
    )


def test_one_in_production_is_called_by_its_name() -> None:
    text = render_text(replace(PUSHED, environment="production", phase="ACTIVE", endpoints=("predict",), existed=True))
    assert text == (
        "m: deployment m-0123abcd (was there already)\n"
        "  production points to it\n"
        "  http://127.0.0.1:8000/model/m/predict\n"
        "\n"
        "Call it:\n"
        "  penstock call m"
    )


def test_one_in_another_environment_is_called_by_that() -> None:
    text = render_text(replace(PUSHED, environment="qa", endpoints=("websocket",)))
    assert "  qa will point to it once a replica is ready\n" in text
    assert "  ws://127.0.0.1:8000/model/m/environments/qa/websocket\n" in text
    assert "  penstock call m --environment qa\n" in text
    assert "/predict" not in text


def test_programs_get_one_object() -> None:
    assert json.loads(render_json(replace(PUSHED, edge="", phase="ACTIVE"))) == {
        "name": "m",
        "deployment_id": "m-0123abcd",
        "environment": None,
        "artifact": "ab" * 32,
        "uploaded": True,
        "existed": False,
        "phase": "ACTIVE",
        "message": "",
        "urls": {},
    }
