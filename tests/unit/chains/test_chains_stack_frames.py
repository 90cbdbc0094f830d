"""Which frames of an exception a caller is shown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from penstock.chains.remote.stack_frames import user_frames


def in_module(name: str, source: str, **names: Any) -> Callable[..., Any]:
    """Returns the function `f` of a module of that name."""
    scope: dict[str, Any] = {"__name__": name, **names}
    exec(compile(source, f"/{name}.py", "exec"), scope)
    function: Callable[..., Any] = scope["f"]
    return function


def shown(run: Callable[[], Any]) -> list[str]:
    try:
        run()
    except Exception as exc:
        exc.__traceback__ = exc.__traceback__ and exc.__traceback__.tb_next
        return [frame.filename for frame in user_frames(exc)]
    return []


CALL = "def f():\n    return inner()"


def test_frames_of_the_platform_before_and_after_the_users_code_are_left_out() -> None:
    stub = in_module("penstock.chains.remote.stub", "def f():\n    raise ValueError")
    helper = in_module("my_helper", CALL, inner=stub)
    chain = in_module("my_chain", CALL, inner=helper)
    shell = in_module("penstock_runner.predict.app", CALL, inner=chain)

    assert shown(shell) == ["/my_chain.py", "/my_helper.py"]


def test_libraries_are_shown_where_the_users_code_calls_them() -> None:
    library = in_module("json.decoder", "def f():\n    raise ValueError")
    asyncs = in_module("asyncio.tasks", CALL, inner=library)
    chain = in_module("my_chain", CALL, inner=asyncs)
    thread = in_module("anyio.to_thread", CALL, inner=chain)
    shell = in_module("penstock.chains.serving.model", CALL, inner=thread)

    assert shown(shell) == ["/my_chain.py", "/asyncio.tasks.py", "/json.decoder.py"]


def test_libraries_below_the_platform_are_left_out() -> None:
    library = in_module("aiohttp.client", "def f():\n    raise ValueError")
    stub = in_module("penstock.chains.remote.stub", CALL, inner=library)
    chain = in_module("my_chain", CALL, inner=stub)

    assert shown(chain) == ["/my_chain.py"]


def test_the_users_code_below_the_platform_is_shown() -> None:
    callback = in_module("my_chain", "def f():\n    raise ValueError")
    reader = in_module("penstock.chains.streaming", CALL, inner=callback)
    chain = in_module("my_chain", CALL, inner=reader)

    assert shown(chain) == ["/my_chain.py", "/my_chain.py"]


def test_an_exception_that_was_never_raised_has_no_frames() -> None:
    assert user_frames(ValueError()) == []


def test_a_frame_has_its_line_and_text() -> None:
    async def run() -> None:
        raise ValueError("x")  # the line

    with pytest.raises(ValueError, match="x") as caught:
        asyncio.run(run())
    last = user_frames(caught.value)[-1]

    assert (last.name, last.line) == ("run", 'raise ValueError("x")  # the line')
