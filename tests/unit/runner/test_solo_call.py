"""Calls of a model's methods that may hang, raise or end the program."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from penstock_runner.model.solo_call import Answer, SoloCall
from penstock_testing.virtual_time import run_virtual

LONG_S = 20.0


def on_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Lets pytest run an async test."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


def value_of(answer: Answer | None) -> object:
    assert answer is not None
    assert answer.error is None
    return answer.value


def error_of(answer: Answer | None) -> BaseException:
    assert answer is not None
    assert answer.error is not None
    return answer.error


@on_a_loop
async def test_sync_method_runs_in_a_daemon_thread_with_the_callers_context() -> None:
    variable = contextvars.ContextVar("variable", default="unset")
    variable.set("set")

    def method(argument: int) -> tuple[int, str, bool, bool]:
        thread = threading.current_thread()
        return argument, variable.get(), thread.daemon, thread is threading.main_thread()

    assert value_of(await SoloCall("m").ask(method, 3, timeout_s=LONG_S)) == (3, "set", True, False)


@on_a_loop
async def test_async_method_runs_on_the_loop() -> None:
    async def method(argument: int) -> tuple[int, threading.Thread]:
        return argument, threading.current_thread()

    assert value_of(await SoloCall("m").ask(method, 3, timeout_s=LONG_S)) == (3, threading.current_thread())


@on_a_loop
async def test_awaitable_of_a_sync_method_is_awaited() -> None:
    async def inner() -> int:
        return 4

    def method() -> Awaitable[int]:
        return inner()

    assert value_of(await SoloCall("m").ask(method, timeout_s=LONG_S)) == 4


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), KeyboardInterrupt(), TimeoutError()])
@on_a_loop
async def test_whatever_is_raised_is_an_answer(error: BaseException) -> None:
    def sync_method() -> None:
        raise error

    async def async_method() -> None:
        raise error

    assert error_of(await SoloCall("m").ask(sync_method, timeout_s=LONG_S)) is error
    assert error_of(await SoloCall("m").ask(async_method, timeout_s=LONG_S)) is error


@on_a_loop
async def test_async_method_that_is_cancelled_from_inside_is_an_answer() -> None:
    async def method() -> None:
        raise asyncio.CancelledError

    assert isinstance(error_of(await SoloCall("m").ask(method, timeout_s=LONG_S)), asyncio.CancelledError)


@on_a_loop
async def test_thread_that_hangs_is_waited_for_again_and_not_joined_by_another() -> None:
    gate = threading.Event()
    calls = []

    def method(number: int) -> int:
        calls.append(number)
        assert gate.wait(LONG_S)
        return number

    call = SoloCall("m")
    assert await call.ask(method, 1, timeout_s=0) is None
    assert await call.ask(method, 2, timeout_s=0) is None
    assert call.is_running
    gate.set()

    assert value_of(await call.ask(method, 3, timeout_s=LONG_S)) == 1
    assert not call.is_running
    assert value_of(await call.ask(method, 4, timeout_s=LONG_S)) == 4
    assert calls == [1, 4]


def test_async_method_that_hangs_is_waited_for_again() -> None:
    async def main() -> None:
        gate = asyncio.Event()

        async def method() -> str:
            await gate.wait()
            return "late"

        call = SoloCall("m")
        assert await call.ask(method, timeout_s=10) is None
        assert asyncio.get_running_loop().time() == pytest.approx(10)
        gate.set()
        assert value_of(await call.ask(method, timeout_s=10)) == "late"

    run_virtual(main())


def test_cancel_ends_an_async_method_and_forgets_it() -> None:
    async def main() -> None:
        ended = []

        async def hangs() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(True)

        async def answers() -> int:
            return 5

        call = SoloCall("m")
        await call.ask(hangs, timeout_s=1)
        call.cancel()
        assert not call.is_running
        assert value_of(await call.ask(answers, timeout_s=1)) == 5
        assert ended == [True]

    run_virtual(main())


def test_cancellation_of_the_wait_leaves_the_call_alone() -> None:
    async def main() -> None:
        gate = asyncio.Event()

        async def method() -> int:
            await gate.wait()
            return 6

        call = SoloCall("m")
        asking: Callable[[], Awaitable[Answer | None]] = lambda: call.ask(method, timeout_s=100)  # noqa: E731  # asked twice
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await asking()
        gate.set()
        assert value_of(await asking()) == 6

    run_virtual(main())


def test_thread_that_ends_after_its_loop_is_no_problem() -> None:
    gate, done = threading.Event(), threading.Event()

    def method() -> None:
        gate.wait(LONG_S)
        done.set()

    async def main() -> None:
        await SoloCall("m").ask(method, timeout_s=0)

    asyncio.run(main())
    gate.set()

    assert done.wait(LONG_S)
