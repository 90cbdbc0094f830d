"""Files of deployments from servers that misbehave, by processes that are killed or run side by side."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.truss import parse_config
from penstock.weights import Placed, WeightsError, fetch_all
from penstock.weights.retrying import RetryPolicy
from penstock.weights.transfer import TransferSettings
from penstock_testing.faulty_web_server import Fault, FaultyWebServer, faulty_web_server

CONTENT = os.urandom(3_000_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
COMMIT = "0123456789abcdef0123456789abcdef01234567"

PROCESS = """
import sys
from pathlib import Path
from penstock.truss import load_config
from penstock.weights import fetch_all

model, cache = Path(sys.argv[1]), Path(sys.argv[2])
for placed in fetch_all(load_config(model), model, cache, lambda line: print(line, flush=True)):
    print("PLACED", placed.key, placed.way, flush=True)
"""


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyWebServer]:
    # A machine behind a proxy must not ask it for this server.
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with faulty_web_server() as server:
        yield server


class Deployment:
    """A model folder that asks for files."""

    def __init__(self, folder: Path, web: FaultyWebServer, name: str = "model") -> None:
        self.folder = folder
        self.web = web
        self.model = folder / name
        self.model.mkdir()
        self.cache = folder / "cache"
        self.lines: list[str] = []

    def ask(self, text: str) -> None:
        text = text.replace("FOLDER", str(self.folder)).replace("WEB", self.web.url("/")[:-1])
        (self.model / "config.yaml").write_text(text)

    def fetch(self, text: str, **env: str) -> list[Placed]:
        self.ask(text)
        config = parse_config((self.model / "config.yaml").read_bytes(), name_default="m")
        quick = TransferSettings(retry=RetryPolicy(failures_max=3, delay_first_s=0.001))
        env = {"HF_HOME": str(self.folder / "hf"), "HF_ENDPOINT": self.web.url("/")[:-1], **env}
        return fetch_all(config, self.model, self.cache, self.lines.append, env=env, transfer=quick)

    def start(self) -> subprocess.Popen[str]:
        """Fetches in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(self.model), str(self.cache)], stdout=subprocess.PIPE, text=True
        )

    @property
    def data(self) -> bytes:
        return (self.model / "data/x.bin").read_bytes()


@pytest.fixture
def deployment(tmp_path: Path, web: FaultyWebServer) -> Deployment:
    return Deployment(tmp_path, web)


ONE = "external_data: [{url: WEB/x.bin, local_data_path: x.bin}]"


def test_a_connection_that_is_cut_again_and_again_ends_with_the_whole_file(
    deployment: Deployment, web: FaultyWebServer
) -> None:
    web.put("/x.bin", CONTENT, Fault(), *[Fault(cut_after=500_000)] * 4)

    deployment.fetch(ONE)

    assert deployment.data == CONTENT
    ranges = [seen.headers.get("range") for seen in web.asked("/x.bin")]
    assert ranges == [None, None, *[f"bytes={part * 500_000}-" for part in range(1, 5)]]


def test_a_server_that_lies_about_the_length_is_not_believed(deployment: Deployment, web: FaultyWebServer) -> None:
    lie = Fault(headers={"Content-Length": str(len(CONTENT) + 100)})
    web.put("/x.bin", CONTENT, lie, *[lie] * 9)

    with pytest.raises(WeightsError, match=r"external_data\[0\]\.url: x\.bin: .*"):
        deployment.fetch(ONE)

    assert not (deployment.model / "data/x.bin").exists()


def test_content_that_changes_in_the_middle_is_not_mixed(deployment: Deployment, web: FaultyWebServer) -> None:
    web.put("/x.bin", CONTENT, Fault(), Fault(cut_after=1_000_000))
    changed = bytes(reversed(CONTENT))
    release = threading.Event()

    def change(line: str) -> None:
        if "trying again" in line:
            web.put("/x.bin", changed)
            release.set()

    deployment.ask(ONE)
    config = parse_config((deployment.model / "config.yaml").read_bytes(), name_default="m")
    fetch_all(config, deployment.model, deployment.cache, change, env={})

    assert release.is_set()
    assert deployment.data == changed


@pytest.mark.parametrize(
    "url", [f"WEB/x.bin#sha256={'0' * 64}", f"WEB/x.bin, sha256: '{'0' * 64}'", "WEB/wrong-digest.bin"]
)
def test_content_with_another_checksum_is_refused_and_kept_nowhere(
    deployment: Deployment, web: FaultyWebServer, url: str
) -> None:
    web.put("/x.bin", CONTENT)
    web.put("/wrong-digest.bin", CONTENT, Digest="sha-256=" + "A" * 43 + "=")
    entry = url.replace("WEB/x.bin#", "'WEB/x.bin#") + ("'" if "#" in url else "")

    with pytest.raises(WeightsError, match=f"SHA-256 is {DIGEST}, expected 0000.*; tried twice"):
        deployment.fetch(f"external_data: [{{url: {entry}, local_data_path: x.bin}}]")

    assert [path for path in deployment.cache.rglob("*.bin") if path.is_file()] == []
    assert list(deployment.cache.rglob("*.part")) == []


def test_a_file_of_unannounced_length_is_taken_to_its_end(deployment: Deployment, web: FaultyWebServer) -> None:
    unknown = Fault(headers={"Content-Length": ""})
    web.put("/x.bin", CONTENT, unknown, unknown)

    (placed,) = deployment.fetch(ONE)

    assert placed.size == len(CONTENT)
    assert deployment.data == CONTENT


def test_a_secret_does_not_follow_a_redirect_to_another_server(deployment: Deployment, web: FaultyWebServer) -> None:
    with faulty_web_server() as cdn:
        web.put("/x.bin", b"").password = "Bearer geheim"
        web.pages["/x.bin"].faults.extend([Fault(status=302, headers={"Location": cdn.url("/signed?s=1")})] * 2)
        cdn.put("/signed", CONTENT)

        deployment.fetch(
            "weights: [{source: WEB/x.bin, mount_location: FOLDER/m.bin, auth_secret_name: mine}]",
            TRUSS_SECRET_mine="geheim",
        )

        assert (deployment.folder / "m.bin").read_bytes() == CONTENT
        assert all("authorization" not in seen.headers for seen in cdn.seen)
        assert "geheim" not in "".join(path.read_text() for path in deployment.cache.rglob("*.json"))


def test_a_killed_process_leaves_its_part_to_the_next(deployment: Deployment, web: FaultyWebServer) -> None:
    hold = threading.Event()
    page = web.put("/x.bin", CONTENT, Fault(), Fault(cut_after=2_000_000, stall=hold))
    deployment.ask(ONE)
    first = deployment.start()
    wait_for_bytes(deployment.cache, 1_000_000)
    first.kill()
    first.communicate(timeout=30)
    hold.set()
    page.faults.clear()

    deployment.fetch(ONE)

    last = web.asked("/x.bin")[-1].headers["range"]
    assert int(last.removeprefix("bytes=").rstrip("-")) >= 1_000_000
    assert deployment.data == CONTENT


def wait_for_bytes(cache: Path, count: int) -> None:
    """Waits, for half a minute at most, until a part has `count` bytes."""
    done = threading.Event()
    for _ in range(3000):
        if sum(path.stat().st_size for path in cache.rglob("*.part")) >= count:
            return
        done.wait(0.01)
    raise AssertionError(f"no part of {count} bytes came")


def test_processes_side_by_side_fetch_a_file_once(deployment: Deployment, web: FaultyWebServer, tmp_path: Path) -> None:
    hold = threading.Event()
    web.put("/x.bin", CONTENT)
    other = Deployment(tmp_path, web, "other")
    for one in (deployment, other):
        one.ask("external_data: [{url: 'WEB/x.bin#sha256=" + DIGEST + "', local_data_path: x.bin}]")
    # The request for facts, then the transfer, which stands until the other process waits for it.
    web.pages["/x.bin"].faults.extend([Fault(), Fault(cut_after=1_000_000, stall=hold)])
    first = deployment.start()
    wait_for_bytes(deployment.cache, 500_000)
    second = other.start()
    assert second.stdout is not None
    assert "is being fetched already; waiting for it" in second.stdout.readline()
    hold.set()

    outputs = [process.communicate(timeout=60)[0] for process in (first, second)]

    assert "PLACED external_data[0] fetched" in outputs[0]
    assert "PLACED external_data[0] cached" in outputs[1]
    assert deployment.data == other.data == CONTENT
    assert len([seen for seen in web.asked("/x.bin") if "range" in seen.headers]) == 1


def test_progress_is_told_while_a_slow_server_sends(deployment: Deployment, web: FaultyWebServer) -> None:
    hold = threading.Event()
    web.put("/x.bin", CONTENT, Fault(), Fault(cut_after=1_000_000, stall=hold))

    def go_on_a_second_later() -> None:
        wait_for_bytes(deployment.cache, 1_000_000)
        threading.Timer(1.1, hold.set).start()

    waiter = threading.Thread(target=go_on_a_second_later)
    waiter.start()
    deployment.fetch(ONE)
    waiter.join()

    progress = [line for line in deployment.lines if " of 2.9 MiB (" in line]
    assert 1 <= len(progress) <= 3
    assert deployment.lines[-1].startswith(f"external_data[0] {web.url('/x.bin')}: 2.9 MiB complete in ")


def test_the_cache_stays_within_its_bound(deployment: Deployment, web: FaultyWebServer) -> None:
    for name in "abc":
        web.put(f"/{name}.bin", name.encode() * 1_000_000)
        deployment.fetch(
            f"external_data: [{{url: WEB/{name}.bin, local_data_path: x.bin}}]",
            PENSTOCK_WEIGHTS_CACHE_BYTES="2500000",
        )

    kept = sorted(path.name for path in deployment.cache.rglob("*.bin") if path.is_file())
    assert kept == ["b.bin", "c.bin"]
    assert deployment.data == b"c" * 1_000_000
    assert len([line for line in deployment.lines if line.startswith("removing ")]) == 1


def put_repository(web: FaultyWebServer) -> None:
    answer = {
        "sha": COMMIT,
        "siblings": [
            {"rfilename": "config.json", "size": 2},
            {"rfilename": "sub/model.bin", "size": 9, "lfs": {"sha256": DIGEST, "size": len(CONTENT)}},
            {"rfilename": "README.md", "size": 5},
        ],
    }
    web.put("/api/models/owner/name/revision/main", json.dumps(answer).encode())
    web.put(f"/owner/name/resolve/{COMMIT}/config.json", b"{}")
    cdn = Fault(status=302, headers={"Location": "/cdn/model", "X-Linked-ETag": f'"{DIGEST}"', "Content-Length": "0"})
    web.put(f"/owner/name/resolve/{COMMIT}/sub/model.bin", b"", *[cdn] * 5)
    web.put("/cdn/model", CONTENT, Fault(cut_after=1_000_000))


def test_a_repository_is_mounted_as_far_as_it_is_wanted(deployment: Deployment, web: FaultyWebServer) -> None:
    put_repository(web)

    (placed,) = deployment.fetch(
        "weights: [{source: hf://owner/name, mount_location: FOLDER/m, ignore_patterns: ['*.md']}]"
    )

    assert (placed.files, placed.size, placed.path) == (2, len(CONTENT) + 2, deployment.folder / "m")
    assert (placed.path / "sub/model.bin").read_bytes() == CONTENT
    assert sorted(os.listdir(placed.path)) == ["config.json", "sub"]
    assert [seen.headers.get("range") for seen in web.asked("/cdn/model")] == [None, "bytes=1000000-"]


def test_a_model_cache_is_in_the_layout_of_huggingface_hub(deployment: Deployment, web: FaultyWebServer) -> None:
    put_repository(web)

    deployment.fetch("model_cache: [{repo_id: owner/name, use_volume: false, allow_patterns: ['*.json']}]")

    repository = deployment.folder / "hf/hub/models--owner--name"
    assert (repository / "refs/main").read_text() == COMMIT
    assert (repository / "snapshots" / COMMIT / "config.json").read_text() == "{}"


def test_a_hub_that_names_a_path_out_of_the_folder_is_refused(deployment: Deployment, web: FaultyWebServer) -> None:
    answer = {"sha": COMMIT, "siblings": [{"rfilename": "../../../evil", "size": 2}]}
    web.put("/api/models/owner/name/revision/main", json.dumps(answer).encode())

    with pytest.raises(WeightsError, match=r"weights\[0\]\.source: must not lead out of its folder"):
        deployment.fetch("weights: [{source: hf://owner/name, mount_location: FOLDER/m}]")

    assert not (deployment.folder / "m").is_symlink()
