"""Metrics of calls to other chainlets."""

from __future__ import annotations

import asyncio

import prometheus_client
import pytest

from penstock.chains.remote import call_metrics
from penstock.chains.remote.call_metrics import counts_of
from penstock.chains.remote.concurrency import ConcurrencyLimit


def sample(name: str, chainlet: str) -> float | None:
    return prometheus_client.REGISTRY.get_sample_value(name, {"dependency_chainlet": chainlet})


def gauges(chainlet: str) -> list[float | None]:
    return [sample(f"dependency_chainlet_{kind}_requests", chainlet) for kind in ("ongoing", "queued", "total")]


def test_the_names_are_those_of_truss() -> None:
    async def run() -> None:
        first = ConcurrencyLimit(1, "MetricsDep", counts_of("MetricsDep"))
        second = ConcurrencyLimit(1, "MetricsDep", counts_of("MetricsDep"))
        before = sample("dependency_chainlet_requests_total", "MetricsDep")
        async with first, second:
            waiting = asyncio.create_task(first.__aenter__())
            await asyncio.sleep(0)
            assert gauges("MetricsDep") == [2, 1, 3]
        await waiting
        assert gauges("MetricsDep") == [1, 0, 1]
        assert sample("dependency_chainlet_requests_total", "MetricsDep") == (before or 0) + 3

    asyncio.run(run())

    assert gauges("MetricsDep") == [0, 0, 0]


def test_only_so_many_callees_have_a_label_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    counts_of("LabelOne")
    monkeypatch.setattr(call_metrics, "_NAMES_MAX", len(call_metrics._counts))

    assert counts_of("LabelTwo") is counts_of("LabelThree")
    assert counts_of("LabelOne") is not counts_of("LabelTwo")
    assert sample("dependency_chainlet_requests_total", "LabelTwo") is None
