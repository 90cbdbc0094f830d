from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from penstock.api.control.v1 import chain_pb2
from penstock.chains.chain_file import ChainFile
from penstock.chains.generated import GeneratedChain, GeneratedChainlet
from penstock.chains.generation import Generation, GenerationError
from penstock.cli.chains import chain_watch
from penstock.cli.chains.chain_watch import ChainWatch, Watched
from penstock.cli.up.admin import AdminError, ChainVersion, ReloadOutcome
from penstock.cli.up.observation import Deployment, Observation
from penstock.cli.up.watched_tree import Scan, WatchedTree

DONE = (ReloadOutcome("r", True),)
NEEDS_RESTART = (ReloadOutcome("r", False, "it has another __init__.", True),)
FAILED = (ReloadOutcome("r", False, "Traceback\nNameError: x"),)


def version(number: int, *, existed: bool = False) -> ChainVersion:
    return ChainVersion(
        "hello",
        f"hello-{number}",
        existed,
        (("Inner", f"hello.Inner-{number}"), ("Entry", f"hello-{number}")),
        f"hello-{number}",
    )


@dataclass
class FakePlatform:
    """Does what a test says, and notes what it was asked for."""

    asked: list[str] = field(default_factory=list)
    outcomes: dict[str, tuple[ReloadOutcome, ...]] = field(default_factory=dict)
    next_version: ChainVersion = field(default_factory=lambda: version(2))
    problem: str = ""
    deployments: tuple[Deployment, ...] = ()

    async def observe(self) -> Observation | None:
        return Observation(1, 1, self.deployments)

    async def reload(self, deployment_id: str) -> tuple[ReloadOutcome, ...]:
        self.asked.append(f"reload {deployment_id}")
        return self.outcomes.get(deployment_id, DONE)

    async def create_chain(self, spec: chain_pb2.ChainSpec) -> ChainVersion:
        self.asked.append(f"create {spec.name} for {spec.environment}")
        if self.problem:
            raise AdminError(self.problem)
        return self.next_version

    async def set_replicas(self, deployment_id: str, replicas: int | None) -> None:
        self.asked.append(f"set {deployment_id} {replicas}")

    async def keep(self, deployment_id: str, environment: str) -> None:
        self.asked.append(f"keep {deployment_id} in {environment}")

    async def renew(self, deployment_id: str) -> None:
        self.asked.append(f"renew {deployment_id}")


class Kit:
    """A watch over a chain whose Trusses a test writes."""

    def __init__(self, folder: Path) -> None:
        self.workspace = folder / "work"
        self.workspace.mkdir()
        (self.workspace / "chain.py").write_text("")
        self.platform = FakePlatform()
        self.notes: list[str] = []
        self.problem = ""
        self.sources: list[ChainFile] = []
        chainlets = []
        for name in ("Inner", "Entry"):
            (folder / name).mkdir()
            (folder / name / "config.yaml").write_text("")
            calls = ("Inner",) if name == "Entry" else ()
            chainlets.append(GeneratedChainlet(name, folder / name, name == "Entry", calls))
        self.chain = GeneratedChain("hello", tuple(chainlets), sources=(self.workspace,))
        self.now = 100.0
        self._scans = 0

    def make(self, *, is_coming: bool = False) -> ChainWatch:
        tree = WatchedTree(self.workspace)
        return ChainWatch(
            self.platform,
            Watched(
                source=ChainFile(self.workspace / "chain.py"), folder=self.workspace.parent, environment="production"
            ),
            chain=self.chain,
            version=version(1),
            is_coming=is_coming,
            read=tree.scan(),
            note=self.notes.append,
            on_version=lambda _: None,
            generating=self.generate,
        )

    async def generate(self, source: ChainFile, folder: Path) -> Generation:
        self.sources.append(source)
        if self.problem:
            raise GenerationError(self.problem)
        return Generation(self.chain)

    def written(self, *paths: str) -> None:
        """The next generation writes these paths in each Truss."""
        chainlets = tuple(replace(each, changed=paths) for each in self.chain.chainlets)
        self.chain = replace(self.chain, chainlets=chainlets)

    async def save(self, watch: ChainWatch, *paths: str) -> None:
        """Saves the chain's file; it has settled when this returns."""
        self._scans += 1
        (self.workspace / "chain.py").write_text("#" * self._scans)
        self.written(*(paths or ("packages/chain.py",)))
        scan = WatchedTree(self.workspace).scan()
        await watch.look(scan, self.now)
        self.now += 1.0
        await watch.look(scan, self.now)

    async def look(self, watch: ChainWatch) -> None:
        """Nothing is saved, and time goes on."""
        self.now += 10.0
        await watch.look(WatchedTree(self.workspace).scan(), self.now)


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return Kit(tmp_path)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def serving(number: int, **fields: Any) -> tuple[Deployment, ...]:
    return (
        Deployment("hello.Inner", f"hello.Inner-{number}", environments=("production",), **fields),
        Deployment("hello", f"hello-{number}", environments=("production",)),
    )


def test_code_is_reloaded_in_every_chainlet(kit: Kit) -> None:
    async def test() -> None:
        await kit.save(kit.make())

    run(test)
    assert kit.platform.asked == ["reload hello.Inner-1", "reload hello-1"]
    assert kit.notes[0].startswith("hello: chain.py: live in ")
    assert kit.sources == [ChainFile(kit.workspace / "chain.py", name="hello")]


def test_a_chain_that_breaks_rules_is_told_and_nothing_changes(kit: Kit) -> None:
    async def test() -> None:
        kit.problem = "rule one\nrule two"
        await kit.save(kit.make())

    run(test)
    assert kit.platform.asked == []
    assert kit.notes == ["hello: chain.py was not taken over, what was there goes on serving:\n  rule one\n  rule two"]


def test_a_save_that_changes_no_chainlet_is_not_told(kit: Kit) -> None:
    async def test() -> None:
        await kit.save(kit.make(), "data/words.txt")

    run(test)
    assert (kit.platform.asked, kit.notes) == ([], [])


def test_code_that_fails_in_a_chainlet_is_told_with_its_name(kit: Kit) -> None:
    async def test() -> None:
        kit.platform.outcomes = {"hello.Inner-1": FAILED, "hello-1": FAILED}
        await kit.save(kit.make())

    run(test)
    assert kit.notes == [
        "hello: chain.py was not taken over by Inner, Entry, the old code goes on serving there:\n"
        "  Traceback\n  NameError: x"
    ]


def test_what_needs_a_restart_becomes_a_version_of_the_whole_chain(kit: Kit) -> None:
    async def test() -> None:
        kit.platform.outcomes = {"hello.Inner-1": NEEDS_RESTART}
        watch = kit.make()
        await kit.save(watch)
        assert kit.platform.asked[2:] == ["create hello for production"]
        assert kit.notes[0] == "hello: chain.py: it has another __init__"

        kit.platform.deployments = serving(2)
        await kit.look(watch)
        assert "(version hello-2)" in kit.notes[-1]
        await kit.save(watch)

    run(test)
    assert kit.platform.asked[-2:] == ["reload hello.Inner-2", "reload hello-2"]


def test_a_replaced_version_goes_when_its_last_stream_has_ended(kit: Kit) -> None:
    async def test() -> None:
        watch = kit.make()
        await kit.save(watch, "config.yaml")
        kit.platform.deployments = (*serving(2), Deployment("hello", "hello-1", active_streams=1))
        await kit.look(watch)
        await kit.look(watch)
        assert kit.platform.asked == ["create hello for production"]
        kit.platform.deployments = serving(2)
        await kit.look(watch)

    run(test)
    assert kit.platform.asked[1:] == ["set hello.Inner-1 0", "set hello-1 0"]


def test_a_version_that_fails_is_given_up(kit: Kit) -> None:
    async def test() -> None:
        watch = kit.make()
        await kit.save(watch, "config.yaml")
        kit.platform.deployments = (
            Deployment("hello.Inner", "hello.Inner-2", phase="DEPLOY_FAILED", message="boom"),
            Deployment("hello", "hello-2"),
        )
        await kit.look(watch)
        assert kit.platform.asked[1:] == ["keep hello-1 in production", "set hello.Inner-2 0", "set hello-2 0"]
        assert kit.notes[-1] == (
            "hello: chain.py was not taken over, what was there goes on serving:\n  Inner:\n  boom"
        )
        # The Trusses on the disk are not what serves: code alone is not enough.
        await kit.save(watch)

    run(test)
    assert kit.platform.asked[-1] == "create hello for production"


def test_a_version_that_the_controller_refuses_is_tried_again_at_the_next_save(kit: Kit) -> None:
    async def test() -> None:
        watch = kit.make()
        kit.platform.problem = "no"
        await kit.save(watch, "config.yaml")
        kit.platform.problem = ""
        await kit.save(watch)

    run(test)
    assert kit.notes[0] == "hello: chain.py was not taken over: no"
    assert kit.platform.asked == ["create hello for production"] * 2


def test_what_is_as_it_was_needs_no_new_version(kit: Kit) -> None:
    async def test() -> None:
        kit.platform.next_version = version(1, existed=True)
        await kit.save(kit.make(), "config.yaml")

    run(test)
    assert kit.platform.asked[1:] == ["keep hello-1 in production", "reload hello.Inner-1", "reload hello-1"]
    assert "live in" in kit.notes[-1]


def test_a_save_while_a_version_is_on_its_way_takes_its_place(kit: Kit) -> None:
    async def test() -> None:
        watch = kit.make()
        await kit.save(watch, "config.yaml")
        kit.platform.next_version = version(3, existed=True)
        await kit.save(watch)

    run(test)
    assert kit.platform.asked == [
        "create hello for production",
        "create hello for production",
        "set hello.Inner-2 0",
        "set hello-2 0",
        "set hello.Inner-3 None",
        "set hello-3 None",
    ]


def test_the_first_version_may_be_on_its_way(kit: Kit) -> None:
    async def test() -> None:
        watch = kit.make(is_coming=True)
        kit.platform.deployments = (Deployment("hello", "hello-1", phase="BUILDING", build_log_path="/b.log"),)
        await kit.look(watch)
        await kit.look(watch)
        assert kit.notes == ["hello: Entry: building its environment; the log is in /b.log"]
        kit.platform.deployments = serving(1)
        await kit.look(watch)

    run(test)
    assert "(version hello-1)" in kit.notes[-1]
    assert kit.platform.asked == []


def test_without_replicas_the_next_one_starts_with_the_new_code(kit: Kit) -> None:
    async def test() -> None:
        kit.platform.outcomes = {"hello.Inner-1": (), "hello-1": ()}
        kit.platform.deployments = serving(1)
        watch = kit.make()
        await kit.save(watch)
        kit.platform.deployments = serving(1, starting=1)
        await kit.save(watch)

    run(test)
    assert kit.notes[0] == "hello: chain.py: no replica runs; the next one starts with it"
    assert kit.platform.asked[-1] == "create hello for production"


def test_a_tree_that_is_too_large_is_told_once(kit: Kit) -> None:
    async def test() -> None:
        watch = kit.make()
        await watch.look(Scan(is_complete=False), 1.0)
        await watch.look(Scan(is_complete=False), 1.0)

    run(test)
    assert len(kit.notes) == 1


def test_only_so_many_replaced_versions_are_remembered(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain_watch, "LEAVING_MAX", 1)

    async def test() -> None:
        watch = kit.make()
        for number in (2, 3):
            kit.platform.next_version = version(number)
            await kit.save(watch, "config.yaml")
            busy = [Deployment("hello", f"hello-{each}", active_streams=1) for each in (1, 2)]
            kit.platform.deployments = (*serving(number), *busy)
            await kit.look(watch)
        kit.platform.deployments = serving(3)
        await kit.look(watch)

    run(test)
    assert kit.platform.asked[2:] == ["set hello.Inner-2 0", "set hello-2 0"]
