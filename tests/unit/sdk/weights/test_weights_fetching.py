from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from penstock.weights.errors import Stopped, WeightsError
from penstock.weights.fetching import settled


def test_results_come_in_the_order_of_the_work() -> None:
    release = threading.Event()

    def slow() -> str:
        assert release.wait(10)
        return "slow"

    def fast() -> str:
        release.set()
        return "fast"

    with ThreadPoolExecutor(2) as pool:
        assert settled([pool.submit(slow), pool.submit(fast)], threading.Event()) == ["slow", "fast"]


def test_the_first_failure_stops_the_others_and_is_the_one_that_is_raised() -> None:
    stop = threading.Event()

    def stopped() -> None:
        assert stop.wait(10)
        raise Stopped

    def fail() -> None:
        raise WeightsError("weights[0]", "is not there")

    with ThreadPoolExecutor(3) as pool, pytest.raises(WeightsError, match="is not there"):
        settled([pool.submit(stopped), pool.submit(stopped), pool.submit(fail)], stop)

    assert stop.is_set()
