"""User modules win over ours, whatever they are called and wherever in a Truss directory they stand.

The tests ask a real runner process, because what is in sys.modules and on sys.path there is what counts.
"""

from __future__ import annotations

import pytest

from penstock_testing.fake_controller import FakeController
from penstock_testing.runner_process import StartRunner, WriteTruss

NAMES = [
    *("edge", "runner", "controller", "common", "shared", "utils", "helpers", "lib", "core", "base", "main", "app"),
    *("config", "settings", "options", "errors", "exceptions", "logs", "server", "client", "service", "services"),
    *("api", "protos", "trunk", "stream", "streams", "sessions", "slots", "websocket_handler", "process", "replica"),
    *("control", "lag", "loader", "model_loader", "schemas", "constants", "data_types", "tests", "tools", "cli"),
]
"""Names that user code is likely to take, most of which our own packages have inside."""

STDLIB_LIKE = ["types", "logging", "queue", "typing", "signal", "secrets", "inspect"]
"""Inside the model's package even these are free: they are `model.types`, and so on."""


def model_source(imports: str) -> str:
    return f"""\
import sys
TAKEN = [name for name in {NAMES!r} if name in sys.modules]
assert not TAKEN, f"names that belong to user code are taken: {{TAKEN}}"
{imports}
class Model:
    async def websocket(self, websocket): pass
"""


@pytest.mark.parametrize("place", ["packages", "."])
def test_modules_of_the_user_are_theirs(
    place: str, write_truss: WriteTruss, start_runner: StartRunner, controller: FakeController
) -> None:
    imports = "".join(f"import {name}\nassert {name}.OWNER == 'user', {name}.__file__\n" for name in NAMES)
    files = {f"{place}/{name}.py": "OWNER = 'user'\n" for name in NAMES}

    runner = start_runner(write_truss(model_source(imports), files=files), controller=controller)

    controller.wait_for(lambda: controller.state() in ("READY", "FAILED"))
    assert controller.state() == "READY", runner.output()


def test_modules_beside_the_model_are_theirs(
    write_truss: WriteTruss, start_runner: StartRunner, controller: FakeController
) -> None:
    names = NAMES + STDLIB_LIKE
    imports = "".join(
        f"from model import {name} as absolute\nfrom . import {name} as relative\n"
        f"assert absolute is relative and absolute.OWNER == 'user', absolute.__file__\n"
        for name in names
    )
    files = {f"model/{name}.py": "OWNER = 'user'\n" for name in names}

    runner = start_runner(write_truss(model_source(imports), files=files), controller=controller)

    controller.wait_for(lambda: controller.state() in ("READY", "FAILED"))
    assert controller.state() == "READY", runner.output()


def test_packages_of_the_user_are_theirs(
    write_truss: WriteTruss, start_runner: StartRunner, controller: FakeController
) -> None:
    """Folders, with and without __init__.py."""
    files = {
        "packages/edge/__init__.py": "OWNER = 'user'\n",
        "packages/runner/inner.py": "OWNER = 'user'\n",
        "controller/inner.py": "OWNER = 'user'\n",
    }
    imports = (
        "import edge, runner.inner, controller.inner\n"
        "assert [edge.OWNER, runner.inner.OWNER, controller.inner.OWNER] == ['user'] * 3\n"
    )

    runner = start_runner(write_truss(model_source(imports), files=files), controller=controller)

    controller.wait_for(lambda: controller.state() in ("READY", "FAILED"))
    assert controller.state() == "READY", runner.output()


def test_model_is_loaded_off_the_main_thread_with_everything_in_place(
    write_truss: WriteTruss, start_runner: StartRunner, controller: FakeController
) -> None:
    """Working directory, data folder, environment variables, injected arguments (truss.md section 2.1)."""
    source = """\
import os, pathlib, threading
HERE = pathlib.Path(__file__).parent.parent
assert threading.current_thread() is not threading.main_thread()
assert pathlib.Path.cwd() == HERE
assert not pathlib.Path("data").exists()
assert os.environ["LEVEL"] == "3"

class Model:
    def __init__(self, config, data_dir, secrets, environment, lazy_data_resolver):
        assert threading.current_thread() is not threading.main_thread()
        assert config["custom"] == {"a": 1}
        assert data_dir == pathlib.Path("data")
        assert data_dir.is_dir()
        assert secrets["token"] == "hush"
        assert environment == {"name": "staging"}
        lazy_data_resolver.block_until_download_complete()

    def load(self):
        assert threading.current_thread() is not threading.main_thread()
        print("loading the weights")

    async def websocket(self, websocket): pass
"""
    config = "model_name: m\nenvironment_variables: {LEVEL: 3}\nsecrets: {token: null}\ncustom: {a: 1}\n"
    folder = write_truss(source, config=config)

    runner = start_runner(folder, "--environment", "staging", controller=controller, env={"TRUSS_SECRET_token": "hush"})

    controller.wait_for(lambda: controller.state() in ("READY", "FAILED"))
    assert controller.state() == "READY", runner.output()
    output = runner.output()
    assert output.index("Executing model.load()...") < output.index("loading the weights")
    assert "Completed model.load() execution in " in output
