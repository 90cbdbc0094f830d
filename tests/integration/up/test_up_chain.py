"""`penstock up` and `penstock chains` with the real controller, edge and runners: a chain of two chainlets."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from penstock_testing.up_session import UpSession, wait_until

CHAIN = """\
import truss_chains as chains
import word


class Inner(chains.ChainletBase):
    async def run_remote(self, times: int) -> str:
        return word.WORD * times


@chains.mark_entrypoint("My Chain")
class Entry(chains.ChainletBase):
    def __init__(self, inner: Inner = chains.depends(Inner)) -> None:
        self._inner = inner

    async def run_remote(self, times: int) -> str:
        return await self._inner.run_remote(times)
"""

TALKING = """\
import truss_chains as chains


class Entry(chains.ChainletBase):
    async def run_remote(self, websocket: chains.WebSocketProtocol) -> None:
        async for text in websocket.iter_text():
            await websocket.send_text(text.upper())
"""


class Platform:
    """A platform that watches one chain and serves another one."""

    def __init__(self, folder: Path) -> None:
        self.workspace = folder / "work"
        self.workspace.mkdir()
        (self.workspace / "my_chain.py").write_text(CHAIN)
        self.save("a")
        (folder / "talk").mkdir()
        (folder / "talk" / "talk_chain.py").write_text(TALKING)
        self.up = UpSession(
            folder,
            [sys.executable, "-m", "penstock.cli", "up"],
            str(self.workspace / "my_chain.py"),
            f"{folder / 'talk' / 'talk_chain.py'}:Entry",
            "--watch",
            "--grpc-listen=off",
        )
        self.ready: dict[str, Any] = {}
        self.up.start()

    def become_ready(self) -> None:
        self.ready = self.up.wait_ready()

    def save(self, word: str) -> None:
        (self.workspace / "word.py").write_text(f"WORD = {word!r}\n")

    def url(self, name: str) -> str:
        return next(str(chain["url"]) for chain in self.ready["chains"] if chain["name"] == name)

    def ask(self, times: int) -> Any:
        return post(self.url("my-chain"), {"times": times})

    def command(self, *words: str) -> str:
        """Runs a command of `penstock`, and returns what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "penstock.cli", *words, f"--state-dir={self.up.state}"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def post(url: str, content: Any) -> Any:
    request = urllib.request.Request(url, json.dumps(content).encode(), {"Content-Type": "application/json"})
    with contextlib.closing(urllib.request.urlopen(request, timeout=60)) as response:
        return json.loads(response.read())


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    found = Platform(tmp_path_factory.mktemp("chain"))
    try:
        found.become_ready()
        yield found
        found.up.signal(signal.SIGINT)
        assert found.up.wait_ended() == 0
        found.up.assert_nothing_runs()
    finally:
        found.up.clean_up()


def test_chains_are_reported_and_answer(platform: Platform) -> None:
    http = platform.ready["edge"]["http"]
    assert platform.url("my-chain") == f"{http}/chain/my-chain/run_remote"
    chainlets = next(chain for chain in platform.ready["chains"] if chain["name"] == "my-chain")["chainlets"]
    assert [(each["name"], each["entrypoint"]) for each in chainlets] == [("Inner", False), ("Entry", True)]
    assert f"curl -s {http}/chain/my-chain/run_remote -d '{{\"times\": 1}}'" in platform.up.text()
    assert platform.ask(3) == "aaa"
    with connect(platform.url("entry")) as stream:
        stream.send("hello")
        assert stream.recv(timeout=30) == "HELLO"


def test_a_chain_and_its_chainlets_are_called_from_the_command_line(platform: Platform) -> None:
    assert json.loads(platform.command("call", "my-chain", '{"times": 2}')) == "aa"
    assert json.loads(platform.command("call", "my-chain.Inner", '{"times": 1}')) == "a"
    assert platform.command("call", "entry", "hi") == "HI\n"


def test_what_is_saved_is_live_in_the_inner_chainlet(platform: Platform) -> None:
    before = platform.ready["chains"][0]["id"]
    platform.save("b")
    wait_until(lambda: platform.ask(2) == "bb", "the new code")
    platform.up.wait_for_text("my-chain: word.py: live in ")
    assert f"(version {before}" not in platform.up.text().partition("Press Ctrl-C")[2]

    (platform.workspace / "my_chain.py").write_text(CHAIN.replace("times: int", "times"))
    platform.up.wait_for_text("my-chain: my_chain.py was not taken over, what was there goes on serving:\n")
    assert platform.ask(2) == "bb"
    (platform.workspace / "my_chain.py").write_text(CHAIN)
    platform.save("a")
    wait_until(lambda: platform.ask(2) == "aa", "the old code")


def test_a_chain_is_pushed_beside_others(platform: Platform, tmp_path: Path) -> None:
    (tmp_path / "my_chain.py").write_text(CHAIN)
    (tmp_path / "word.py").write_text("WORD = 'pushed '\n")
    words = ["chains", "push", str(tmp_path / "my_chain.py"), "--name", "Pushed", "--promote", "--wait"]

    found = json.loads(platform.command(*words, "--output=json"))

    assert (found["name"], found["environment"]) == ("pushed", "production")
    assert [each["phase"] for each in found["chainlets"]] == ["ACTIVE", "ACTIVE"]
    assert post(found["url"], {"times": 2}) == "pushed pushed "
    platform.up.note_processes()


def test_a_chain_that_breaks_rules_ends_up_with_all_of_them(tmp_path: Path) -> None:
    (tmp_path / "my_chain.py").write_text(CHAIN.replace("times: int) -> str", "times)"))
    (tmp_path / "word.py").write_text("WORD = 'a'\n")
    up = UpSession(
        tmp_path, [sys.executable, "-m", "penstock.cli", "up"], str(tmp_path / "my_chain.py"), "--grpc-listen=off"
    )
    up.start()
    assert up.wait_ended() == 2
    assert up.text().count("[kind: IO_TYPE_ERROR]") == 4
    assert "starting the controller" not in up.text()
