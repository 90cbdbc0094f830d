"""The decisions of a watch; tests/integration/up has the real platform."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.cli.up.admin import AdminError, Created, ReloadOutcome
from penstock.cli.up.model_watch import ModelWatch
from penstock.cli.up.observation import Deployment, Observation
from penstock.cli.up.watched_tree import Scan, WatchedTree

MakeModel = Callable[..., Path]
CONFIG = "model_name: m\n"


class FakePlatform:
    """Notes what it is asked, and answers as it is told."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, object]] = []
        self.outcomes: tuple[ReloadOutcome, ...] = (ReloadOutcome("m-1-a", True),)
        self.created = Created("m-2", existed=False)
        self.deployments: tuple[Deployment, ...] = (Deployment("m", "m-1", ready=1, environments=("production",)),)
        self.refuses = False

    async def observe(self) -> Observation | None:
        return Observation(1, 1, deployments=self.deployments)

    async def reload(self, deployment_id: str) -> tuple[ReloadOutcome, ...]:
        self.asked.append(("reload", deployment_id))
        return self.outcomes

    async def create(self, directory: Path, replicas: int | None) -> Created:
        if self.refuses:
            raise AdminError("the controller refused: no room")
        self.asked.append(("create", replicas))
        return self.created

    async def set_replicas(self, deployment_id: str, replicas: int | None) -> None:
        self.asked.append((f"replicas {deployment_id}", replicas))

    async def keep(self, deployment_id: str) -> None:
        self.asked.append(("keep", deployment_id))

    async def renew(self, deployment_id: str) -> None:
        self.asked.append(("renew", deployment_id))


class Watched:
    """A watch, and the files that it watches."""

    def __init__(self, folder: Path, read: Scan | None = None) -> None:
        self.folder = folder
        self.platform = FakePlatform()
        self.notes: list[str] = []
        self.named: dict[str, str] = {}
        self.watch = ModelWatch(
            self.platform,
            name="m",
            directory=folder,
            deployment_id="m-1",
            replicas=3,
            read=read or Scan(),
            note=self.notes.append,
            on_deployment=self.named.__setitem__,
        )
        self._now = 0.0

    def save(self, name: str, content: str) -> None:
        (self.folder / name).write_text(content)
        self.look()

    def look(self) -> None:
        """Two looks: what was seen in the first has settled in the second."""
        asyncio.run(self._look())

    async def _look(self) -> None:
        for _ in range(2):
            self._now += 1.0
            scan = WatchedTree(self.folder, skipped=["data"]).scan()
            await self.watch.look(scan, self._now)

    def asked(self) -> list[tuple[str, object]]:
        asked, self.platform.asked = self.platform.asked, []
        return asked

    def told(self) -> str:
        told = "\n".join(self.notes)
        self.notes.clear()
        return told


@pytest.fixture
def watched(make_model: MakeModel) -> Watched:
    return Watched(make_model(CONFIG))


def test_saved_code_is_reloaded_and_told_with_its_time(watched: Watched) -> None:
    watched.save("model/model.py", "class Model: ...\n")
    assert watched.asked() == [("reload", "m-1")]
    assert watched.told().startswith("m: model/model.py: live in 0.")
    watched.look()
    assert watched.asked() == []


def test_other_files_have_no_effect(watched: Watched) -> None:
    watched.save("README.md", "x")
    (watched.folder / "data").mkdir()
    watched.save("data/cache.py", "x")
    assert (watched.asked(), watched.told()) == ([], "")


def test_code_that_cannot_be_used_is_told_and_nothing_changes(watched: Watched) -> None:
    watched.platform.outcomes = (
        ReloadOutcome("m-1-a", True),
        ReloadOutcome("m-1-b", False, "SyntaxError: invalid syntax (model/model.py, line 3)"),
    )
    watched.save("model/model.py", "class Model(")
    assert watched.asked() == [("reload", "m-1")]
    assert watched.told() == (
        "m: model/model.py was not taken over, the old code goes on serving (it runs on 1 of 2 replicas):\n"
        "  SyntaxError: invalid syntax (model/model.py, line 3)"
    )


def test_code_that_needs_a_restart_becomes_a_deployment(watched: Watched) -> None:
    watched.platform.outcomes = (ReloadOutcome("m-1-a", False, "A restart is needed: slots.\nmore", True),)
    watched.save("model/model.py", "class Model: ...\n")
    assert watched.asked() == [("reload", "m-1"), ("create", 3)]
    assert watched.named == {"m-2": "m"}
    assert watched.told() == (
        "m: model/model.py: A restart is needed: slots\n"
        "m: model/model.py: starting a new deployment; the old one serves until it is ready"
    )


def test_a_changed_config_is_swapped_in_when_it_is_ready(watched: Watched) -> None:
    watched.save("config.yaml", CONFIG + "description: new\n")
    assert watched.asked() == [("create", 3)]
    watched.told()
    watched.platform.deployments += (Deployment("m", "m-2", phase="LOADING_MODEL", blocked="no GPU is free"),)
    watched.look()
    assert (watched.asked(), watched.told()) == ([], "m: the new deployment waits: no GPU is free")
    watched.platform.deployments = (Deployment("m", "m-2", phase="ACTIVE", environments=("production",)),)
    watched.look()
    assert watched.asked() == [("replicas m-1", 0)]
    assert "(deployment m-2)" in watched.told()
    watched.save("model/model.py", "class Model: ...\n")
    assert watched.asked() == [("reload", "m-2")]


def test_a_deployment_that_fails_is_given_up_and_the_old_one_serves(watched: Watched) -> None:
    watched.save("config.yaml", CONFIG + "requirements: [nothing]\n")
    watched.asked(), watched.told()
    building = Deployment("m", "m-2", phase="BUILDING", build_log_path="/logs/build")
    watched.platform.deployments += (building,)
    watched.look()
    assert watched.told() == "m: building its environment; the log is in /logs/build"
    watched.platform.deployments = (Deployment("m", "m-2", phase="BUILD_FAILED", message="no nothing"),)
    watched.look()
    assert watched.asked() == [("keep", "m-1"), ("replicas m-2", 0)]
    assert watched.told() == "m: config.yaml was not taken over, what was there goes on serving:\n  no nothing"
    watched.save("model/model.py", "class Model: ...\n")
    assert watched.asked() == [("reload", "m-1")]


def test_a_save_while_a_deployment_is_coming_takes_its_place(watched: Watched) -> None:
    watched.save("config.yaml", CONFIG + "description: new\n")
    watched.asked()
    watched.platform.created = Created("m-3", existed=True)
    watched.save("model/model.py", "class Model: ...\n")
    assert watched.asked() == [("create", 3), ("replicas m-2", 0), ("replicas m-3", 3)]


def test_back_to_what_serves_needs_no_deployment(watched: Watched) -> None:
    watched.save("config.yaml", CONFIG + "description: new\n")
    watched.asked(), watched.told()
    watched.platform.created = Created("m-1", existed=True)
    watched.save("config.yaml", CONFIG)
    assert watched.asked() == [("create", 3), ("replicas m-2", 0), ("keep", "m-1"), ("reload", "m-1")]
    assert watched.told().startswith("m: config.yaml: live in 0.")


def test_back_to_what_serves_renews_replicas_that_cannot_go_back(watched: Watched) -> None:
    watched.platform.created = Created("m-1", existed=True)
    watched.platform.outcomes = (ReloadOutcome("m-1-a", False, "A restart is needed", True),)
    watched.save("model/model.py", "class Model: ...\n")
    assert watched.asked()[-1] == ("renew", "m-1")
    assert "starting new replicas" in watched.told()


def test_a_config_that_cannot_be_read_changes_nothing(watched: Watched) -> None:
    watched.save("config.yaml", "model_name: [m]\n")
    assert watched.asked() == []
    told = watched.told()
    assert told.startswith("m: config.yaml was not taken over, what was there goes on serving:\n  config.yaml:1:13")


def test_another_name_needs_a_new_start(watched: Watched) -> None:
    watched.save("config.yaml", "model_name: other\n")
    assert watched.asked() == []
    assert "model_name is other now; start `penstock up` again" in watched.told()


def test_without_a_replica_the_next_one_takes_it(watched: Watched) -> None:
    watched.platform.outcomes = ()
    watched.save("model/model.py", "class Model: ...\n")
    assert watched.asked() == [("reload", "m-1")]
    assert watched.told() == "m: model/model.py: no replica runs; the next one starts with it"


def test_production_is_not_taken_back_from_a_push(watched: Watched) -> None:
    watched.platform.outcomes = ()
    watched.platform.deployments = (Deployment("m", "m-1"),)
    watched.save("model/model.py", "class Model: ...\n")
    assert watched.asked() == [("reload", "m-1")]
    assert "not live, as production points to another deployment" in watched.told()


def test_replicas_that_fail_are_replaced_by_new_code(watched: Watched) -> None:
    watched.platform.outcomes = ()
    watched.platform.deployments = (Deployment("m", "m-1", failed=1, environments=("production",)),)
    watched.save("model/model.py", "class Model: ...\n")
    assert watched.asked() == [("reload", "m-1"), ("create", 3)]


def test_a_refusal_is_told_and_the_watch_goes_on(watched: Watched) -> None:
    watched.platform.refuses = True
    watched.save("config.yaml", CONFIG + "description: new\n")
    assert watched.told() == "m: config.yaml was not taken over: the controller refused: no room"
    watched.save("model/model.py", "class Model: ...\n")
    assert watched.asked() == [("reload", "m-1")]


def test_a_changed_config_changes_what_is_code(watched: Watched) -> None:
    watched.save("config.yaml", CONFIG + "bundled_packages_dir: lib\n")
    watched.platform.deployments = (Deployment("m", "m-2", environments=("production",)),)
    watched.look()
    watched.asked()
    (watched.folder / "lib").mkdir()
    watched.save("lib/helper.py", "x = 1\n")
    assert watched.asked() == [("reload", "m-2")]


def test_what_was_edited_while_the_model_was_loaded_is_taken_over_at_once(make_model: MakeModel) -> None:
    folder = make_model(CONFIG)
    read = WatchedTree(folder).scan()
    (folder / "model" / "model.py").write_text("class Model: ...\n")
    (folder / "model" / "built.py").write_text("what a build command made is no edit\n")
    watched = Watched(folder, read)
    watched.look()
    assert watched.asked() == [("reload", "m-1")]
    assert watched.told().startswith("m: model/model.py: live in ")
