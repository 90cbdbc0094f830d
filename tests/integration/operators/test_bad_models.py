"""Models that raise, exit, hang, die or leak: each leaves a clear state, and none touches another."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from penstock.api.control.v1 import admin_pb2
from penstock_testing.bare_platform import BarePlatform, bare_platform
from penstock_testing.static_platform import wait_until

LIMIT_S = 90.0

MODELS = {
    "raises": "raise RuntimeError('no such GPU')\n",
    "typo": "class Model:\n    def predict(self, x) return x\n",
    "exits": "import sys\nclass Model:\n    def load(self): sys.exit('gave up')\n    def predict(self, x): return x\n",
    "hangs": "import threading\nclass Model:\n    def load(self): threading.Event().wait()\n"
    "    def predict(self, x): return x\n",
    "dies": "import os\nclass Model:\n    def predict(self, x):\n"
    "        if x == 'die': os._exit(7)\n        return x\n",
    "leaks": "class Model:\n    def __init__(self): self.kept = []\n    def predict(self, x):\n"
    "        self.kept.append(bytearray(b'x') * 90_000_000)\n        return len(self.kept)\n",
    "good": "class Model:\n    def predict(self, x): return x\n",
}
SETTINGS = {
    "hangs": "runtime: {health_checks: {startup_threshold_seconds: 10}}\n",
    "leaks": "resources: {memory: 200Mi}\n",
}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BarePlatform]:
    folder = tmp_path_factory.mktemp("bad-models")
    with bare_platform(folder) as platform:
        for name, code in MODELS.items():
            (folder / name / "model").mkdir(parents=True)
            (folder / name / "model" / "model.py").write_text(code)
            (folder / name / "config.yaml").write_text(f"model_name: {name}\n{SETTINGS.get(name, '')}")
            platform.apply(folder / name)
        yield platform


@pytest.fixture(scope="module")
def url(platform: BarePlatform) -> str:
    return platform.start_edge().replace("ws://", "http://")


def call(url: str, name: str, value: object) -> object:
    request = urllib.request.Request(f"{url}/model/{name}/predict", data=json.dumps(value).encode())
    with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
        return json.loads(answer.read())


def replica(platform: BarePlatform, name: str) -> admin_pb2.ReplicaView | None:
    found = [view for view in platform.status().replicas if view.deployment_id.startswith(f"{name}-")]
    return found[0] if found else None


def status_text(platform: BarePlatform) -> str:
    program = [sys.executable, "-P", "-m", "penstock_controller", "status", "--state-dir", str(platform.state_dir)]
    return subprocess.run(program, capture_output=True, text=True, check=False, timeout=60).stdout


def log_of(platform: BarePlatform, name: str) -> str:
    return "".join(path.read_text() for path in (platform.state_dir / "logs").glob(f"{name}-*.log"))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("raises", "RuntimeError: no such GPU"),
        ("typo", "SyntaxError: expected ':'"),
        ("exits", "SystemExit: gave up"),
        ("hangs", "not loaded within 10 s"),
    ],
)
def test_a_model_that_cannot_be_loaded_says_why(platform: BarePlatform, url: str, name: str, told: str) -> None:
    def is_told() -> bool:
        view = replica(platform, name)
        return view is not None and told in view.message

    wait_until(is_told, LIMIT_S, f"the status tells why {name} cannot be loaded")

    assert "model_load_failed" in log_of(platform, name)
    assert call(url, "good", name) == name


def test_the_status_for_people_shows_each_of_them(platform: BarePlatform, url: str) -> None:
    def shows_all() -> bool:
        lines = status_text(platform).splitlines()
        wanted = {"raises": "no such GPU", "typo": "SyntaxError", "exits": "gave up", "hangs": "not loaded within"}
        return all(any(name in line and text in line for line in lines) for name, text in wanted.items())

    wait_until(shows_all, LIMIT_S, "`controller status` shows every failure")


def test_a_model_that_ends_the_process_is_started_again(platform: BarePlatform, url: str) -> None:
    assert call(url, "dies", 1) == 1

    with pytest.raises(urllib.error.HTTPError) as refused:
        call(url, "dies", "die")

    assert refused.value.code == 503
    assert json.loads(refused.value.read())["code"] == "REPLICA_LOST"
    assert call(url, "dies", 2) == 2
    assert [event.text for event in platform.events() if event.kind == "replica_exited" and "status 7" in event.text]
    assert call(url, "good", 3) == 3


def test_a_model_that_leaks_is_named_with_its_figures(platform: BarePlatform, url: str) -> None:
    for _ in range(4):
        call(url, "leaks", 0)

    def is_told() -> bool:
        view = replica(platform, "leaks")
        return view is not None and "`resources.memory` in config.yaml says 200 MiB" in view.message

    wait_until(is_told, LIMIT_S, "the status tells of the memory")
    assert "memory_above_limit" in log_of(platform, "leaks")
