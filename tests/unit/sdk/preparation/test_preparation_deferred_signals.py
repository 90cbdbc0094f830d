from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from types import FrameType

import pytest

from penstock.preparation.deferred_signals import deferred_signals


class AskedToEndError(Exception):
    """What the handlers raise here."""


@pytest.fixture(autouse=True)
def raising_handlers() -> Iterator[None]:
    def end(number: int, _frame: FrameType | None) -> None:
        raise AskedToEndError(number)

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["sigint", "sigterm"])
def test_a_signal_in_the_block_is_raised_at_its_end(number: signal.Signals) -> None:
    done = []

    def work() -> None:
        with deferred_signals():
            signal.raise_signal(number)
            done.append("all of it")

    with pytest.raises(AskedToEndError, match=str(int(number))):
        work()

    assert done == ["all of it"]
    with pytest.raises(AskedToEndError):
        signal.raise_signal(number)


def test_an_error_of_the_block_comes_through_and_handlers_are_put_back() -> None:
    handler = signal.getsignal(signal.SIGTERM)

    with pytest.raises(KeyError), deferred_signals():
        raise KeyError

    assert signal.getsignal(signal.SIGTERM) is handler


def test_what_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    with deferred_signals():
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        signal.raise_signal(signal.SIGINT)


def test_in_other_threads_nothing_is_done() -> None:
    seen = []

    def work() -> None:
        before = signal.getsignal(signal.SIGTERM)
        with deferred_signals():
            seen.append(signal.getsignal(signal.SIGTERM) is before)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)

    assert seen == [True]
