from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from penstock.preparation import environment_cache as module
from penstock.preparation.environment_cache import EnvironmentCache, Record
from penstock.preparation.errors import PreparationError
from penstock.preparation.eviction import Eviction, Kept


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "environments"


@pytest.fixture
def cache(folder: Path) -> EnvironmentCache:
    return EnvironmentCache(folder, wait_s=0.3)


def add(cache: EnvironmentCache, key: str, *, age_s: float = 86400, base: str = "", size: int = 1000) -> Path:
    """Puts a finished environment there, last used `age_s` ago."""
    with cache.hold(key, lambda _: None):
        place = cache.place(key)
        (place / "bin").mkdir(parents=True)
        cache.publish(key, Record(minor="3.11", fingerprint="f", lines=(f"{key}==1",), base=base, bytes=size))
        record = place / module.RECORD_NAME
        used_at = record.stat().st_mtime - age_s
        os.utime(record, (used_at, used_at))
    return place


def trim(cache: EnvironmentCache, entries_max: int) -> tuple[list[str], str]:
    reported: list[str] = []
    over = cache.trim(entries_max=entries_max, bytes_max=10**12, report=reported.append)
    return reported, over


def found(cache: EnvironmentCache, key: str) -> Record | None:
    with cache.hold(key, lambda _: None):
        return cache.find(key)


@contextmanager
def held_by_another_process(folder: Path, key: str) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    program = (
        "import fcntl, os, sys; fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT); fcntl.flock(fd, fcntl.LOCK_EX); "
        "print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(folder / f"{key}.lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield
        process.kill()


def test_an_environment_is_there_once_it_is_published(cache: EnvironmentCache) -> None:
    with cache.hold("k", lambda _: None):
        cache.place("k").mkdir()
        (cache.place("k") / "file").write_bytes(b"x" * 10_000)
        assert cache.find("k") is None

        cache.publish("k", Record(minor="3.11", fingerprint="f", lines=("six",)))

        record = cache.find("k")
    assert record is not None
    assert record.lines == ("six",)
    assert record.bytes >= 10_000


def test_a_lookup_counts_as_use(cache: EnvironmentCache) -> None:
    path = add(cache, "k", age_s=5000) / module.RECORD_NAME
    before = path.stat().st_mtime

    found(cache, "k")

    assert path.stat().st_mtime > before + 4000


@pytest.mark.parametrize("content", ["", "{", "[]", '{"lines": []}', '{"lines": [], "minor": "3", "unknown": 1}'])
def test_a_record_that_cannot_be_read_is_none(cache: EnvironmentCache, content: str) -> None:
    (add(cache, "k") / module.RECORD_NAME).write_text(content)

    assert found(cache, "k") is None


def test_only_one_process_builds_and_the_wait_is_told_and_bounded(cache: EnvironmentCache, folder: Path) -> None:
    reported: list[str] = []

    with (
        held_by_another_process(folder, "k"),
        pytest.raises(PreparationError, match=r"more than 0\.3 s"),
        cache.hold("k", reported.append),
    ):
        pytest.fail("held twice")

    assert reported == ["another process builds the same environment; waiting for it"]
    with cache.hold("k", reported.append):
        pass


def test_different_environments_are_built_side_by_side(cache: EnvironmentCache, folder: Path) -> None:
    with held_by_another_process(folder, "k"), cache.hold("other", lambda _: None):
        pass


def test_the_lock_of_a_removed_environment_is_no_lock(
    cache: EnvironmentCache, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock
    path = folder / "k.lock"
    removed: list[Path] = []

    def lock_after_a_removal(fd: int, operation: int) -> None:
        # Another process removes the environment between the opening of the file and its locking.
        if not removed:
            path.unlink()
            removed.append(path)
        flock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", lock_after_a_removal)
    with cache.hold("k", lambda _: None) as fd:
        assert os.fstat(fd).st_ino == path.stat().st_ino


def test_the_longest_unused_goes_with_its_lock_and_a_clear_line(cache: EnvironmentCache, folder: Path) -> None:
    add(cache, "old", age_s=2 * 86400, size=5 * 2**20)
    add(cache, "new")

    reported, over = trim(cache, 1)

    assert sorted(os.listdir(folder)) == ["new", "new.lock"]
    (line,) = reported
    assert "removed the environment old (old==1; 5 MiB), unused for 48.0 h" in line
    assert over == ""


def test_one_that_a_result_file_names_stays_until_that_file_goes(cache: EnvironmentCache, tmp_path: Path) -> None:
    place = add(cache, "used", age_s=9 * 86400)
    add(cache, "other")
    result = tmp_path / "result.json"
    result.write_text(json.dumps({"python": str(place / "bin" / "python")}))
    cache.add_user("used", result)

    trim(cache, 1)
    assert place.exists()
    assert not cache.place("other").exists()

    add(cache, "other")
    result.write_text(json.dumps({"error": "it was prepared anew"}))
    trim(cache, 1)
    assert not place.exists()


def test_what_a_gone_result_file_named_may_go(cache: EnvironmentCache, tmp_path: Path) -> None:
    place = add(cache, "used", age_s=9 * 86400)
    add(cache, "other")
    cache.add_user("used", tmp_path / "gone.json")

    trim(cache, 1)

    assert not place.exists()


def test_one_whose_interpreter_runs_stays(cache: EnvironmentCache) -> None:
    place = add(cache, "running", age_s=9 * 86400)
    (place / "bin" / "python").symlink_to("/bin/sleep")
    with subprocess.Popen([place / "bin" / "python", "100"]) as process:
        try:
            # Its command line appears a moment after its start.
            while not Path(f"/proc/{process.pid}/cmdline").read_bytes():
                pass
            _, over = trim(cache, 0)
        finally:
            process.kill()

    assert place.exists()
    assert "1 environments" in over and "more than the bound" in over


def test_one_that_another_process_holds_stays(cache: EnvironmentCache, folder: Path) -> None:
    place = add(cache, "k")
    with held_by_another_process(folder, "k"):
        trim(cache, 0)

    assert place.exists()


def test_one_that_was_used_since_it_was_chosen_stays(cache: EnvironmentCache, monkeypatch: pytest.MonkeyPatch) -> None:
    place = add(cache, "k")

    def choose_late(entries: Iterable[Kept], **_bounds: object) -> Eviction:
        keys = tuple(entry.key for entry in entries)
        os.utime(place / module.RECORD_NAME)
        return Eviction(keys, is_enough=True)

    monkeypatch.setattr(module, "choose_evictions", choose_late)
    trim(cache, 0)

    assert place.exists()


def test_what_a_killed_build_has_left_goes_after_a_while(cache: EnvironmentCache, folder: Path) -> None:
    for name, age_s in (("left", 7200), ("building", 10)):
        (folder / name).mkdir(parents=True)
        at = os.stat(folder / name).st_mtime - age_s
        os.utime(folder / name, (at, at))

    reported, _ = trim(cache, 10)

    assert os.listdir(folder) == ["building"]
    assert "left" in reported[0]


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache = EnvironmentCache(tmp_path / "file" / "environments", wait_s=1)

    with pytest.raises(PreparationError, match="cannot be used"), cache.hold("k", lambda _: None):
        pytest.fail("held")
