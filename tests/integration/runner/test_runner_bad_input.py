"""Every model that cannot be served: a clear message to controller and log, exit status 1, no frames of ours."""

from __future__ import annotations

import pytest

from penstock_testing.fake_controller import FakeController
from penstock_testing.runner_process import StartRunner, WriteTruss

GOOD = "class Model:\n    async def websocket(self, websocket): pass\n"

CASES = [
    pytest.param("class Modle: pass\n", "there is no class `Model` in it; it defines `Modle`.", id="unknown class"),
    pytest.param(
        "class Model:\n    def __init__(self):\n        raise ValueError('no GPU')\n",
        "`Model.__init__` raised ValueError: no GPU",
        id="exception in init",
    ),
    pytest.param(
        f"{GOOD}    def load(self):\n        raise OSError('weights are gone')\n",
        "`load` raised OSError: weights are gone",
        id="exception in load",
    ),
    pytest.param("1 / 0\n", "importing the model raised ZeroDivisionError: division by zero", id="exception at import"),
    pytest.param("class Model\n", "importing the model raised SyntaxError", id="syntax error"),
    pytest.param(
        f"{GOOD}    def predict(self, inputs): pass\n",
        "Truss model cannot have both a `websocket` method and `predict`",
        id="both methods",
    ),
    pytest.param("class Model: pass\n", "must have a `predict` or `websocket` method", id="no method"),
    pytest.param(
        "class Model:\n    async def websocket(self): pass\n",
        "`websocket` must have only one argument: `websocket`.",
        id="too few arguments",
    ),
    pytest.param(
        "class Model:\n    async def websocket(self, websocket, other): pass\n",
        "`websocket` must have only one argument: `websocket`.",
        id="too many arguments",
    ),
    pytest.param(
        "class Model:\n    def websocket(self, websocket): pass\n",
        "must be async function definitions",
        id="not async",
    ),
    pytest.param(
        f"{GOOD}    def is_healthy(self, x): pass\n",
        "`is_healthy` must have no arguments other than `self`.",
        id="wrong is_healthy",
    ),
    pytest.param(None, "model/model.py: not found in", id="no model file"),
    pytest.param("import sys\nsys.exit()\n", "importing the model raised SystemExit", id="model ends the program"),
]


def assert_failed(controller: FakeController, output: str, message: str) -> None:
    assert controller.state() == "FAILED"
    assert message in controller.statuses()[-1].message
    for text in (controller.statuses()[-1].message, output):
        assert "penstock_runner/" not in text
        assert "importlib" not in text


@pytest.mark.parametrize(("model", "message"), CASES)
def test_model_that_cannot_be_served_fails_with_a_clear_message(
    model: str | None,
    message: str,
    write_truss: WriteTruss,
    start_runner: StartRunner,
    controller: FakeController,
) -> None:
    runner = start_runner(write_truss(model), controller=controller, env={"NUM_LOAD_RETRIES_TRUSS": "0"})

    assert runner.wait_exit() == 1
    assert_failed(controller, runner.output(), message)
    assert message in runner.event("model_load_failed")["reason"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        pytest.param(None, "config.yaml: not found in", id="missing"),
        pytest.param("model_name: [x\nb: 1\n", "config.yaml:2:2: not valid YAML", id="broken"),
        pytest.param(b"model_name: \xff\n", "config.yaml:1:13: not valid YAML: not UTF-8", id="not text"),
        pytest.param(
            "runtime:\n  transport:\n    kind: pigeon\n",
            "config.yaml:3:11: runtime.transport.kind: must be one of http, websocket, grpc, got text 'pigeon'",
            id="bad value",
        ),
    ],
)
def test_bad_config_fails_with_file_line_and_column(
    config: str | bytes | None,
    message: str,
    write_truss: WriteTruss,
    start_runner: StartRunner,
    controller: FakeController,
) -> None:
    runner = start_runner(write_truss(GOOD, config=config), controller=controller)

    assert runner.wait_exit() == 1
    assert_failed(controller, runner.output(), message)


def test_traceback_reaches_the_controller_and_the_log(
    write_truss: WriteTruss, start_runner: StartRunner, controller: FakeController
) -> None:
    folder = write_truss(f"{GOOD}    def load(self):\n        helper()\n\ndef helper():\n    raise OSError('gone')\n")

    runner = start_runner(folder, controller=controller, env={"NUM_LOAD_RETRIES_TRUSS": "0"})

    runner.wait_exit()
    expected = [
        "Traceback (most recent call last):",
        f'  File "{folder}/model/model.py", line 4, in load',
        "    helper()",
        f'  File "{folder}/model/model.py", line 7, in helper',
        "    raise OSError('gone')",
        "OSError: gone",
    ]
    assert controller.statuses()[-1].message.splitlines()[1:] == expected
    assert runner.event("model_load_failed")["exception"].splitlines() == expected


def test_failure_ends_the_process_without_a_controller(write_truss: WriteTruss, start_runner: StartRunner) -> None:
    runner = start_runner(write_truss("1 / 0\n"))

    assert runner.wait_exit() == 1


def test_address_that_cannot_be_bound_is_named(
    write_truss: WriteTruss, start_runner: StartRunner, controller: FakeController
) -> None:
    runner = start_runner(write_truss(GOOD), "--listen", controller.address)

    assert runner.wait_exit() == 1
    assert f"cannot listen on {controller.address}" in runner.event("model_load_failed")["reason"]


def test_wrong_command_line_ends_with_status_2(write_truss: WriteTruss, start_runner: StartRunner) -> None:
    runner = start_runner(write_truss(GOOD), "--listen", "nowhere")

    assert runner.wait_exit() == 2
    assert "must be HOST:PORT" in runner.output()


def test_lifeline_that_is_no_pipe_ends_with_status_2(write_truss: WriteTruss, start_runner: StartRunner) -> None:
    runner = start_runner(write_truss(GOOD), "--lifeline-fd", "999")

    assert runner.wait_exit() == 2
    assert "--lifeline-fd" in runner.output()
