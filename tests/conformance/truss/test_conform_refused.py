"""What breaks the contract of truss.md sections 1 to 3: nothing of it is served, and each mistake is named."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from penstock.api.control.v1 import control_pb2
from penstock_testing.bare_platform import bare_platform
from penstock_testing.static_platform import wait_until
from penstock_testing.truss_conformance import ANSWER_SECONDS, Answer, ModelDoor

START_SECONDS = 60.0
"""For all the models of MISTAKES, which start side by side; a failed `load` is tried twice, with a second between."""

MISTAKES = {
    "websocket-and-predict": (
        "class Model:\n async def websocket(self, ws): ...\n def predict(self, inputs): ...\n",
        "cannot have both a `websocket` method and `predict`",
    ),
    "websocket-and-postprocess": (
        "class Model:\n async def websocket(self, ws): ...\n def postprocess(self, inputs): ...\n",
        "cannot have both",
    ),
    "neither": ("class Model:\n pass\n", "must have a `predict` or `websocket` method"),
    "websocket-without-argument": (
        "class Model:\n async def websocket(self): ...\n",
        "`websocket` must have only one argument: `websocket`.",
    ),
    "websocket-with-two-arguments": (
        "class Model:\n async def websocket(self, ws, more): ...\n",
        "`websocket` must have only one argument: `websocket`.",
    ),
    "sync-websocket": ("class Model:\n def websocket(self, ws): ...\n", "must be async function definitions"),
    "yielding-websocket": (
        "class Model:\n async def websocket(self, ws):\n  yield\n",
        "must be async function definitions",
    ),
    "three-arguments": ("class Model:\n def predict(self, a, b, c): ...\n", "cannot have more than two arguments"),
    "request-first": (
        "from fastapi import Request\nclass Model:\n def predict(self, request: Request, inputs): ...\n",
        "must take the request as the second",
    ),
    "second-unannotated": ("class Model:\n def predict(self, inputs, request): ...\n", "is unannotated"),
    "request-only-behind-preprocess": (
        "from fastapi import Request\nclass Model:\n def preprocess(self, inputs): ...\n"
        " def predict(self, request: Request): ...\n",
        "`predict` may not be request-only",
    ),
    "request-only-postprocess": (
        "from fastapi import Request\nclass Model:\n def predict(self, inputs): ...\n"
        " def postprocess(self, request: Request): ...\n",
        "`postprocess` may not be request-only",
    ),
    "health-with-argument": (
        "class Model:\n def predict(self, inputs): ...\n def is_healthy(self, x): ...\n",
        "`is_healthy` must have no arguments other than `self`",
    ),
    "async-load": ("class Model:\n def predict(self, inputs): ...\n async def load(self): ...\n", "must not be async"),
    "failing-load": (
        "class Model:\n def predict(self, inputs): ...\n def load(self):\n  raise OSError('no weights')\n",
        "`load` raised OSError: no weights",
    ),
    "exit-in-load": (
        "import sys\nclass Model:\n def predict(self, inputs): ...\n def load(self):\n  sys.exit(3)\n",
        "`load` raised SystemExit: 3",
    ),
    "failing-import": ("raise RuntimeError('at import')\n", "importing the model raised RuntimeError: at import"),
    "syntax-error": ("class Model:\n def predict(self inputs): ...\n", "SyntaxError"),
    "missing-module": ("import no_such_module\n", "Install `no_such_module`"),
    "other-class": ("class Modell:\n def predict(self, inputs): ...\n", "Modell"),
    "failing-init": (
        "class Model:\n def __init__(self):\n  self.x = {}['key']\n def predict(self, inputs): ...\n",
        "`Model.__init__` raised KeyError: 'key'",
    ),
    "undeclared-secret": (
        "class Model:\n def __init__(self, secrets):\n  secrets['token']\n def predict(self, inputs): ...\n",
        "Secret 'token' is not declared",
    ),
}
"""Code of models that must not be served, and what their status says."""

WRONG_CONFIGS = {
    "secrets-as-list": ("secrets: [token]\n", "secrets"),
    "wrong-type": ("runtime:\n  predict_concurrency: many\n", "runtime.predict_concurrency"),
    "two-kinds-of-requirements": (
        "requirements: [numpy]\nrequirements_file: requirements.txt\n",
        "requirements_file",
    ),
    "unknown-accelerator-count": ("resources:\n  accelerator: H100:none\n", "resources.accelerator"),
    "unknown-transport": ("runtime:\n  transport: {kind: pigeon}\n", "pigeon"),
    "several-workers": ("runtime:\n  num_workers: 2\n", "num_workers"),
    "old-python": ("python_version: py27\n", "python_version"),
    "no-yaml": ("a: [1\n", "config.yaml"),
}
"""Files that must be refused before anything starts, and what the message names beside file and line."""


@dataclass(frozen=True)
class Mistaken:
    """What became of the models of MISTAKES."""

    said: dict[str, str]
    """By model: what its replicas said of themselves."""
    ready: list[str]
    """Names of those that were ready at any time."""
    logs: dict[str, str]
    neighbour: Answer
    """What a sound model beside them answered."""


@pytest.fixture(scope="module")
def mistaken(tmp_path_factory: pytest.TempPathFactory) -> Mistaken:
    """Starts every model of MISTAKES at once, looks until each has said why it fails, and ends them."""
    folder = tmp_path_factory.mktemp("mistakes")
    said: dict[str, str] = dict.fromkeys(MISTAKES, "")
    ready: set[str] = set()
    with bare_platform(folder) as platform:
        neighbour = ModelDoor(platform.start_edge().removeprefix("ws://"), "sound")
        names = {
            platform.apply(write_truss(folder / name, code, "penstock:\n  autoscaling:\n    min_replica: 1\n")): name
            for name, (code, _) in MISTAKES.items()
        }

        def all_have_said() -> bool:
            for replica in platform.status().replicas:
                name = names[replica.deployment_id]
                said[name] += f"{replica.message}\n"
                if replica.state == control_pb2.REPLICA_STATE_READY:
                    ready.add(name)
            return all(expected in said[name] for name, (_, expected) in MISTAKES.items())

        with contextlib.suppress(AssertionError):  # the tests tell which model has not said it
            wait_until(all_have_said, START_SECONDS, "every model has said why it fails")
        platform.apply(write_truss(folder / "sound", "class Model:\n def predict(self, inputs):\n  return inputs\n"))
        wait_until(lambda: neighbour.get("predict").status == 405, START_SECONDS, "the edge knows the sound model")
        answer = neighbour.call({"a": 1})
        files = (platform.state_dir / "logs").glob("*.log")
        return Mistaken(said, sorted(ready), {file.name: file.read_text() for file in files}, answer)


def write_truss(folder: Path, code: str, config: str = "") -> Path:
    (folder / "model").mkdir(parents=True)
    (folder / "config.yaml").write_text(f"model_name: {folder.name}\n{config}")
    (folder / "model" / "model.py").write_text(code)
    return folder


@pytest.mark.parametrize("name", list(MISTAKES))
def test_a_model_that_breaks_the_contract_is_never_ready_and_says_why(mistaken: Mistaken, name: str) -> None:
    assert MISTAKES[name][1] in mistaken.said[name]
    assert name not in mistaken.ready


def test_a_failed_load_is_logged_as_truss_does_after_two_attempts(mistaken: Mistaken) -> None:
    logs = [text for name, text in mistaken.logs.items() if name.startswith("failing-load")]
    (log,) = [text for text in logs if "Exception while loading model" in text][:1]

    assert log.count("Executing model.load()...") == 2
    assert log.index("Exception while loading model") > log.rindex("Executing model.load()...")


def test_models_that_fail_do_not_keep_others_from_serving(mistaken: Mistaken) -> None:
    assert (mistaken.neighbour.status, mistaken.neighbour.json()) == (200, {"a": 1})


def up(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "penstock.cli", "up", str(folder), "--state-dir", str(folder / "state")]
    return subprocess.run([*command, *options], capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False)


@pytest.mark.parametrize("name", list(WRONG_CONFIGS))
def test_a_wrong_config_is_refused_with_file_line_and_key(tmp_path: Path, name: str) -> None:
    config, said = WRONG_CONFIGS[name]
    folder = write_truss(tmp_path / name, "class Model:\n def predict(self, inputs): ...\n", config)

    done = up(folder)

    assert done.returncode == 2, done.stderr
    assert "config.yaml:" in done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_config_yml_is_pointed_out(tmp_path: Path) -> None:
    folder = write_truss(tmp_path / "misnamed", "class Model:\n def predict(self, inputs): ...\n")
    (folder / "config.yaml").rename(folder / "config.yml")

    done = up(folder)

    assert done.returncode == 2
    assert "config.yml" in done.stderr and "config.yaml" in done.stderr
