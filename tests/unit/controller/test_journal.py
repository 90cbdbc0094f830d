from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock_controller import journal as journal_module
from penstock_controller.journal import Journal
from penstock_controller.records import Event
from penstock_controller.store import Store


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    store = Store(tmp_path / "controller.db")
    yield store.journal
    store.close()


def add(journal: Journal, count: int, deployment_id: str | None = None) -> None:
    for index in range(count):
        journal.add(Event(float(index), "scale_decided", f"text {index}", deployment_id))


def test_events_come_oldest_first_from_where_one_left_off(journal: Journal) -> None:
    add(journal, 5)
    first = journal.after(0, limit=3)
    assert [event.sequence for event in first] == [1, 2, 3]
    assert [event.sequence for event in journal.after(first[-1].sequence)] == [4, 5]


def test_the_newest_events_are_those_of_a_limit(journal: Journal) -> None:
    add(journal, 5)
    assert [event.sequence for event in journal.newest_events(0, limit=2)] == [4, 5]
    assert [event.sequence for event in journal.newest_events(4, limit=2)] == [5]


def test_events_of_one_deployment(journal: Journal) -> None:
    add(journal, 2, "echo-1")
    add(journal, 2, "voice-1")
    assert [event.deployment_id for event in journal.after(0, deployment_id="voice-1")] == ["voice-1", "voice-1"]


def test_old_events_are_dropped_and_numbers_go_on(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(journal_module, "EVENTS_MAX", 3)
    add(journal, 5)
    assert [event.sequence for event in journal.after(0)] == [3, 4, 5]

    again = Store(tmp_path / "controller.db")
    assert again.journal.newest == 5
    again.close()


def test_watchers_are_woken(journal: Journal) -> None:
    async def scenario() -> bool:
        waiting = asyncio.create_task(journal.written.wait(5))
        await asyncio.sleep(0)
        add(journal, 1)
        return await waiting

    assert asyncio.run(scenario())
