"""Places of a stub, and the line before them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import prometheus_client
import pytest

from penstock.chains.remote import concurrency
from penstock.chains.remote.call_metrics import CallCounts
from penstock.chains.remote.concurrency import ConcurrencyLimit
from penstock.errors import CapacityError
from penstock_testing.virtual_time import run_virtual


def counts() -> CallCounts:
    return CallCounts(prometheus_client.Counter("calls", "Calls.", registry=None))


def limit_of(places: int, **options: Any) -> ConcurrencyLimit:
    return ConcurrencyLimit(places, "Dep", counts(), clock=lambda: asyncio.get_running_loop().time(), **options)


async def hold(limit: ConcurrencyLimit, seconds: float, order: list[int] | None = None, number: int = 0) -> None:
    async with limit:
        if order is not None:
            order.append(number)
        await asyncio.sleep(seconds)


def test_no_more_calls_than_places_and_the_first_comes_first() -> None:
    async def run() -> tuple[list[int], float, int, int]:
        limit = limit_of(2)
        order: list[int] = []
        tasks = [asyncio.create_task(hold(limit, 1, order, number)) for number in range(6)]
        await asyncio.sleep(0.5)
        ongoing, queued = limit.ongoing, limit.queued
        await asyncio.gather(*tasks)
        assert (limit.ongoing, limit.queued) == (0, 0)
        return order, asyncio.get_running_loop().time(), ongoing, queued

    assert run_virtual(run()) == (list(range(6)), 3.0, 2, 4)


def test_a_limit_below_one_is_one() -> None:
    run_virtual(hold(limit_of(0), 1))


def test_a_call_that_is_cancelled_while_it_waits_leaves_no_place_behind() -> None:
    async def run() -> tuple[int, int]:
        limit = limit_of(1)
        tasks = [asyncio.create_task(hold(limit, 1)) for _ in range(3)]
        await asyncio.sleep(0.5)
        tasks[1].cancel()
        await asyncio.wait(tasks)
        assert tasks[1].cancelled() and asyncio.get_running_loop().time() == 2
        return limit.ongoing, limit.queued

    assert run_virtual(run()) == (0, 0)


@pytest.mark.parametrize("is_first", [True, False], ids=["before", "after"])
def test_a_call_that_is_cancelled_in_the_turn_in_which_its_place_comes_hands_it_on(is_first: bool) -> None:
    async def run() -> tuple[int, int]:
        limit = limit_of(1)
        await limit.__aenter__()
        tasks = [asyncio.create_task(hold(limit, 1)) for _ in range(2)]
        await asyncio.sleep(0.5)
        if is_first:
            tasks[0].cancel()
        await limit.__aexit__(None, None, None)
        tasks[0].cancel()
        await asyncio.wait(tasks)
        assert tasks[0].cancelled() and not tasks[1].cancelled()
        return limit.ongoing, limit.queued

    assert run_virtual(run()) == (0, 0)


def test_the_line_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrency, "WAITING_MAX", 2)

    async def run() -> None:
        limit = limit_of(1)
        tasks = [asyncio.create_task(hold(limit, 1)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(CapacityError, match="2 calls to `Dep` wait already, with 1 under way"):
            await hold(limit, 1)
        await asyncio.gather(*tasks)

    run_virtual(run())


def logged(main: Coroutine[Any, Any, None], caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    with caplog.at_level("DEBUG", "penstock.chains"):
        run_virtual(main)
    return [(line.levelname, line.getMessage()) for line in caplog.records if line.name == "penstock.chains"]


def test_queueing_is_logged_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        limit = limit_of(1, log_interval_s=300)
        await asyncio.gather(*(hold(limit, 1) for _ in range(5)))
        await asyncio.sleep(300)
        await hold(limit, 1)
        await hold(limit, 1)

    ((level, text),) = logged(run(), caplog)

    assert level == "WARNING"
    assert text.startswith(
        "Queueing calls to `Dep` Chainlet. Momentarily there are 1 ongoing requests and 0 waiting requests.\n"
        "Wait stats: p50=1.000s, p90=3.000s.\nOf the last 6 requests, 4 had to wait."
    )
    assert "`concurrency_limit` (now 1)" in text


def test_that_nothing_waits_is_logged_for_those_who_debug(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        limit = limit_of(2, log_interval_s=300)
        await hold(limit, 1)
        await asyncio.sleep(300)
        await hold(limit, 1)

    assert logged(run(), caplog) == [("DEBUG", "No queueing of calls to `Dep`.")]
