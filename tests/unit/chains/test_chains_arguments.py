"""Arguments of a call by name."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.chains.description import Argument, EndpointDescription, EndpointKind
from penstock.chains.remote.arguments import ArgumentNames


def names(*given: str) -> ArgumentNames:
    arguments = tuple(Argument(name, int, is_optional=True, default=1) for name in given)
    return ArgumentNames("RandInt", EndpointDescription("run_remote", EndpointKind.UNARY, True, arguments, (int,)))


@pytest.mark.parametrize(
    ("args", "kwargs"), [((1, 2), {}), ((1,), {"b": 2}), ((), {"b": 2, "a": 1})], ids=["by-place", "mixed", "by-name"]
)
def test_arguments_are_given_by_place_or_name(args: tuple[int, ...], kwargs: dict[str, int]) -> None:
    assert names("a", "b").bound(args, kwargs) == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("args", "kwargs", "text"),
    [
        ((), {}, "missing 3 required positional arguments: 'a', 'b', and 'c'"),
        ((1,), {}, "missing 2 required positional arguments: 'b' and 'c'"),
        ((1, 2), {}, "missing 1 required positional argument: 'c'"),
        ((1, 2, 3), {"d": 4}, "got an unexpected keyword argument 'd'"),
        ((1, 2), {"a": 4}, "got multiple values for argument 'a'"),
        ((1, 2, 3, 4), {}, "takes 4 positional arguments but 5 were given"),
    ],
)
def test_what_does_not_fit_is_said_as_python_says_it(args: tuple[int, ...], kwargs: dict[str, int], text: str) -> None:
    class RandInt:
        def run_remote(self, a: int, b: int, c: int) -> None: ...

    python: Any = RandInt().run_remote
    with pytest.raises(TypeError) as expected:
        python(*args, **kwargs)
    with pytest.raises(TypeError) as caught:
        names("a", "b", "c").bound(args, kwargs)

    assert str(caught.value) == f"RandInt.run_remote() {text}"
    assert str(expected.value).endswith(str(caught.value))


def test_no_arguments_are_none() -> None:
    assert names().bound((), {}) == {}
    with pytest.raises(TypeError, match="takes 1 positional argument but 2 were given"):
        names().bound((1,), {})
