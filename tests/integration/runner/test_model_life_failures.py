"""Models that exit, crash, hang or leave a mess while they load: status, log and exit status say what happened."""

from __future__ import annotations

import signal

import pytest

from penstock_testing.fake_controller import FakeController
from penstock_testing.runner_process import StartRunner, WriteTruss

WEBSOCKET = "    async def websocket(self, websocket): pass\n"
NO_RETRY = {"NUM_LOAD_RETRIES_TRUSS": "0"}


def model_that(*statements: str, at: str = "load") -> str:
    """A model that does `statements` in `load` or `__init__`, or on import."""
    if at == "import":
        return "".join(f"{statement}\n" for statement in statements) + f"class Model:\n{WEBSOCKET}"
    body = "".join(f"        {statement}\n" for statement in statements)
    return f"class Model:\n    def {at}(self):\n{body}{WEBSOCKET}"


@pytest.mark.parametrize(
    ("at", "what"),
    [("import", "importing the model"), ("__init__", "`Model.__init__`"), ("load", "`load`")],
)
@pytest.mark.parametrize(
    ("statement", "error"),
    [
        pytest.param("import sys; sys.exit(3)", "SystemExit: 3", id="exit"),
        pytest.param("raise KeyboardInterrupt", "KeyboardInterrupt", id="interrupt"),
        pytest.param("import asyncio; raise asyncio.CancelledError", "CancelledError", id="cancelled"),
        pytest.param("raise MemoryError('40 GiB')", "MemoryError: 40 GiB", id="memory"),
    ],
)
def test_model_that_wants_to_end_the_program_fails_and_says_so(
    at: str,
    what: str,
    statement: str,
    error: str,
    write_truss: WriteTruss,
    start_runner: StartRunner,
    controller: FakeController,
) -> None:
    runner = start_runner(write_truss(model_that(statement, at=at)), controller=controller, env=NO_RETRY)

    assert runner.wait_exit() == 1
    assert controller.state() == "FAILED"
    assert controller.statuses()[-1].message.splitlines()[0] == f"model/model.py: {what} raised {error}"
    assert runner.event("model_load_failed")["reason"] == f"model/model.py: {what} raised {error}"


@pytest.mark.parametrize("at", ["import", "load"])
def test_model_that_exits_without_a_word_ends_with_its_own_status(
    at: str, write_truss: WriteTruss, start_runner: StartRunner, controller: FakeController
) -> None:
    """Nothing of Python runs after os._exit: the status and the last line of the log are all there is."""
    runner = start_runner(write_truss(model_that("import os; os._exit(7)", at=at)), controller=controller)

    assert runner.wait_exit() == 7
    assert "FAILED" not in controller.states()
    last = [event["event"] for event in runner.events()][-1]
    assert last == ("Executing model.load()..." if at == "load" else "runner_listening")


@pytest.mark.parametrize(
    ("statement", "number", "text"),
    [
        pytest.param("import os; os.abort()", signal.SIGABRT, "Fatal Python error: Aborted", id="abort"),
        pytest.param(
            "import ctypes; ctypes.string_at(0)",
            signal.SIGSEGV,
            "Fatal Python error: Segmentation fault",
            id="segfault",
        ),
    ],
)
def test_crash_of_native_code_leaves_the_models_line_in_the_log(
    statement: str,
    number: signal.Signals,
    text: str,
    write_truss: WriteTruss,
    start_runner: StartRunner,
    controller: FakeController,
) -> None:
    folder = write_truss(model_that(statement))

    runner = start_runner(folder, controller=controller)

    assert runner.wait_exit() == -number
    assert text in runner.output()
    assert f'File "{folder}/model/model.py", line 3 in load' in runner.output()


def test_message_and_log_stay_small_whatever_is_raised(
    write_truss: WriteTruss, start_runner: StartRunner, controller: FakeController
) -> None:
    folder = write_truss(model_that("raise ValueError('x' * 5_000_000)"))

    runner = start_runner(folder, controller=controller, env=NO_RETRY)

    assert runner.wait_exit() == 1
    assert len(controller.statuses()[-1].message) < 20_000
    assert len(runner.output()) < 100_000


def test_exception_that_cannot_be_shown_is_an_error_like_any_other(
    write_truss: WriteTruss, start_runner: StartRunner, controller: FakeController
) -> None:
    source = "class Bad(Exception):\n    def __str__(self): raise Bad\n" + model_that("raise Bad")

    runner = start_runner(write_truss(source), controller=controller, env=NO_RETRY)

    assert runner.wait_exit() == 1
    assert controller.statuses()[-1].message.splitlines()[0] == (
        "model/model.py: `load` raised Bad: <its text cannot be read>"
    )


@pytest.mark.parametrize(
    "statements",
    [
        pytest.param(("import sys", "sys.stdout.close()"), id="closes stdout"),
        pytest.param(("import sys", "sys.stdout = sys.stderr = None"), id="no streams"),
        pytest.param(("import os", "os.chdir('/')"), id="other folder"),
        pytest.param(("import logging", "logging.disable()", "logging.getLogger().handlers.clear()"), id="no logging"),
        pytest.param(("import os", "pid = os.fork()", "pid or os._exit(0)", "os.waitpid(pid, 0)"), id="forks"),
        pytest.param(("import asyncio", "asyncio.run(asyncio.sleep(0))"), id="loop of its own"),
        pytest.param(("import threading", "threading.Thread(target=lambda: 1 / 0).start()"), id="thread that raises"),
    ],
)
def test_model_that_changes_the_process_is_ready_and_drains_all_the_same(
    statements: tuple[str, ...], write_truss: WriteTruss, start_runner: StartRunner, controller: FakeController
) -> None:
    runner = start_runner(write_truss(model_that(*statements)), controller=controller)
    controller.wait_for(lambda: controller.state() in ("READY", "FAILED"))
    assert controller.state() == "READY", runner.output()

    runner.process.terminate()

    assert runner.wait_exit() == 0


def test_model_whose_data_is_not_collected_fails(
    write_truss: WriteTruss, start_runner: StartRunner, controller: FakeController
) -> None:
    config = "model_cache: [{repo_id: a/b, revision: main, use_volume: true, volume_folder: b}]\n"

    runner = start_runner(write_truss(model_that("pass"), config=config), controller=controller)

    assert runner.wait_exit() == 1
    first = "model/model.py: RuntimeError: model_cache: Data was not collected."
    assert controller.statuses()[-1].message.startswith(first)


def test_failing_load_is_tried_twice_and_told_in_the_words_of_truss(
    write_truss: WriteTruss, start_runner: StartRunner, controller: FakeController
) -> None:
    runner = start_runner(write_truss(model_that("raise OSError('weights are gone')")), controller=controller)

    assert runner.wait_exit() == 1
    events = [event["event"] for event in runner.events()]
    assert events.count("Executing model.load()...") == 2
    assert events.count("Exception while loading model") == 1
    assert "OSError: weights are gone" in runner.event("model_load_retried")["exception"]


def test_model_finds_what_any_truss_server_offers(
    write_truss: WriteTruss, start_runner: StartRunner, controller: FakeController
) -> None:
    """Variables, packages, relative imports, folders (truss.md sections 2.1 and 2.6; 10, 5)."""
    source = """\
import os
from pathlib import Path
from . import near
from .near import X as relative
from model.near import X as absolute
import from_packages
import from_shared

assert relative == absolute == near.X == 1
assert os.environ["APP_HOME"] == str(Path.cwd()) == str(Path(__file__).parent.parent)
assert os.environ["PORT"] == os.environ["INFERENCE_SERVER_PORT"] == "8080"
assert os.environ["HOSTNAME"]

class Model:
    def __init__(self, **kwargs):
        assert sorted(kwargs) == ["config", "data_dir", "environment", "lazy_data_resolver", "secrets"]
        assert kwargs["environment"] is None
        assert Path("data").is_dir()
        try:
            kwargs["secrets"]["undeclared"]
        except KeyError as error:
            assert "Secret 'undeclared' is not declared" in str(error)
        kwargs["lazy_data_resolver"].block_until_download_complete()

    async def websocket(self, websocket): pass
"""
    files = {
        "model/near.py": "X = 1\n",
        "packages/from_packages.py": "",
        "../shared/from_shared.py": "",
    }
    folder = write_truss(source, config="external_package_dirs: [../shared]\n", files=files)

    runner = start_runner(folder, controller=controller)

    controller.wait_for(lambda: controller.state() in ("READY", "FAILED"))
    assert controller.state() == "READY", runner.output()
