"""Rules for whole classes, and how everything that is wrong is reported."""

from __future__ import annotations

import pytest

from penstock.chains import registry
from penstock.chains.errors import ChainsUsageError
from penstock_testing.chain_kit import Define, problems_of

RUN = "\n    async def run_remote(self, x: int) -> int: ..."
CASES: dict[str, tuple[str, list[str]]] = {
    "display name": (
        f"class A(chains.ChainletBase):\n    remote_config = chains.RemoteConfig(name='a b'){RUN}",
        ["3 (A) [kind: INVALID_CONFIG_ERROR]: Chainlet display name `a b` must match `^[a-zA-Z0-9_-]+$` regex."],
    ),
    "long display name": (
        f"class A(chains.ChainletBase):\n    remote_config = chains.RemoteConfig(name='a' * 61){RUN}",
        [
            f"3 (A) [kind: INVALID_CONFIG_ERROR]: Chainlet display name `{'a' * 61}` has 61 characters, at most 60 are "
            "allowed."
        ],
    ),
    "remote config": (
        f"class A(chains.ChainletBase):\n    remote_config = {{'name': 'a'}}{RUN}",
        [
            "3 (A) [kind: TYPE_ERROR]: CHAINLETs must have a `remote_config` class variable of type "
            "`<class 'penstock.chains.remote_config.RemoteConfig'>`. Got `<class 'dict'>`."
        ],
    ),
    "websocket options without websocket": (
        "from penstock.chains.truss_config import *\nclass A(chains.ChainletBase):\n"
        f"    remote_config = chains.RemoteConfig(options=chains.ChainletOptions(transport=WebsocketOptions())){RUN}",
        ["4 (A) [kind: INVALID_CONFIG_ERROR]: WebsocketOptions can only be used for websocket endpoints."],
    ),
    "http options with websocket": (
        "from penstock.chains.truss_config import *\nclass A(chains.ChainletBase):\n"
        "    remote_config = chains.RemoteConfig(options=chains.ChainletOptions(transport=HTTPOptions()))\n"
        "    async def run_remote(self, w: chains.WebSocketProtocol) -> None: ...",
        [
            "4 (A) [kind: INVALID_CONFIG_ERROR]: For chainlet endpoints that serve websockets, `options.transport` "
            "must be `WebsocketOptions`, got `HTTPOptions`."
        ],
    ),
    "grpc options with conversation": (
        "from penstock.chains.truss_config import *\nclass A(chains.ChainletBase):\n"
        "    remote_config = chains.RemoteConfig(options=chains.ChainletOptions(transport=GRPCOptions()))\n"
        "    async def run_remote(self, a: AsyncIterator[str]) -> AsyncIterator[str]:\n        yield ''",
        [
            "4 (A) [kind: INVALID_CONFIG_ERROR]: For chainlet endpoints that take and return streams, "
            "`options.transport` must be `WebsocketOptions`, got `GRPCOptions`."
        ],
    ),
    "truss chainlet without directory": (
        "class A(chains.TrussChainlet): ...",
        [
            "3 (A) [kind: MISSING_API_ERROR]: `TrussChainlet` subclass `A` must declare a `truss_dir` class attribute "
            "pointing at the wrapped Truss directory."
        ],
    ),
    "truss chainlet with a number": (
        "class A(chains.TrussChainlet):\n    truss_dir = 3",
        ["3 (A) [kind: TYPE_ERROR]: `TrussChainlet.truss_dir` must be a str or pathlib.Path, got `int`."],
    ),
    "truss chainlet as entrypoint": (
        "@chains.mark_entrypoint\nclass A(chains.TrussChainlet):\n    truss_dir = '.'",
        [
            "3 [kind: TYPE_ERROR]: TrussChainlet cannot be a chain entrypoint. Use a ChainletBase entrypoint that "
            "depends on the TrussChainlet via `chains.depends(...)`."
        ],
    ),
}
HEALTH: dict[str, tuple[str, list[str]]] = {
    "argument": (
        "def is_healthy(self, x: int) -> bool: ...",
        ["5 (A.is_healthy) [kind: TYPE_ERROR]: `is_healthy` must have only one argument: `self`."],
    ),
    "no annotation": (
        "def is_healthy(self): ...",
        [
            "5 (A.is_healthy) [kind: IO_TYPE_ERROR]: Return value of health check must be type annotated. Got:\n"
            "\tis_healthy(self) -> !MISSING!"
        ],
    ),
    "other result": (
        "async def is_healthy(self) -> int: ...",
        [
            "5 (A.is_healthy) [kind: IO_TYPE_ERROR]: Return value of health check must be a boolean. Got:\n"
            "\tis_healthy(self) -> int -> <class 'int'>"
        ],
    ),
    "text as annotation": (
        "def is_healthy(self) -> 'bool': ...",
        [
            "5 (A.is_healthy) [kind: IO_TYPE_ERROR]: Return value of health check must be a boolean. Got:\n"
            "\tis_healthy(self) -> 'bool' -> bool"
        ],
    ),
    "static": (
        "@staticmethod\n    def is_healthy() -> bool: ...",
        [
            "5 (A.is_healthy) [kind: TYPE_ERROR]: `is_healthy` must be a method, i.e. with `self` as first argument. "
            "Got function with no arguments."
        ],
    ),
    "class method": (
        "@classmethod\n    def is_healthy(cls) -> bool: ...",
        ["3 (A) [kind: TYPE_ERROR]: `is_healthy` must be a method."],
    ),
    "no method": ("is_healthy = True", ["3 (A) [kind: TYPE_ERROR]: `is_healthy` must be a method."]),
    "other name than self": (
        "def is_healthy(me) -> bool: ...",
        [
            "5 (A.is_healthy) [kind: TYPE_ERROR]: `is_healthy` must be a method, i.e. with `self` as first argument. "
            "Got `me` as first argument."
        ],
    ),
    "generator": (
        "def is_healthy(self) -> bool:\n        yield True",
        ["5 (A.is_healthy) [kind: TYPE_ERROR]: `is_healthy` must not have `yield` statements."],
    ),
}


@pytest.mark.parametrize(("source", "expected"), CASES.values(), ids=CASES.keys())
def test_a_broken_rule_is_named_with_its_place(define: Define, source: str, expected: list[str]) -> None:
    assert problems_of(define, source) == expected


@pytest.mark.parametrize(("method", "expected"), HEALTH.values(), ids=HEALTH.keys())
def test_a_health_check_has_one_form(define: Define, method: str, expected: list[str]) -> None:
    assert problems_of(define, f"class A(chains.ChainletBase):{RUN}\n    {method}") == expected


@pytest.mark.parametrize("method", ["def is_healthy(self) -> bool: ...", "async def is_healthy(self) -> bool: ..."])
def test_a_health_check_is_found(define: Define, method: str) -> None:
    module = define(f"class A(chains.ChainletBase):{RUN}\n    {method}\nclass B(chains.ChainletBase):{RUN}")
    registry.raise_errors()

    assert registry.describe(module.A).has_health_check
    assert not registry.describe(module.B).has_health_check


TEN_MISTAKES = """
class RandInt(chains.ChainletBase):
    async def run_remote(self, low, high: int) -> int: ...

class Words(chains.ChainletBase):
    remote_config = chains.RemoteConfig(name="some words")

    async def run_remote(self, n: int) -> AsyncIterator[int]:
        yield n

    def is_healthy(self) -> int: ...

class Talk(chains.ChainletBase):
    async def run_remote(self, websocket: chains.WebSocketProtocol, n: int) -> str: ...

@chains.mark_entrypoint
class Hello(chains.ChainletBase):
    def __init__(self, rand=chains.depends(RandInt), other=chains.depends(RandInt), talk=chains.depends(Talk), n=3): ...

    async def run_remote(self, x: object) -> int: ...
"""


def test_a_file_with_ten_mistakes_reports_all_ten(define: Define) -> None:
    problems = problems_of(define, TEN_MISTAKES)

    assert [problem.split("]: ")[0] for problem in problems] == [
        "4 (RandInt.run_remote) [kind: IO_TYPE_ERROR",
        "6 (Words) [kind: INVALID_CONFIG_ERROR",
        "9 (Words.run_remote) [kind: IO_TYPE_ERROR",
        "12 (Words.is_healthy) [kind: IO_TYPE_ERROR",
        "15 (Talk.run_remote) [kind: IO_TYPE_ERROR",
        "15 (Talk.run_remote) [kind: IO_TYPE_ERROR",
        "19 (Hello.__init__) [kind: TYPE_ERROR",
        "19 (Hello.__init__) [kind: TYPE_ERROR",
        "19 (Hello.__init__) [kind: TYPE_ERROR",
        "21 (Hello.run_remote) [kind: IO_TYPE_ERROR",
    ]


def test_decorators_and_inherited_methods_are_found_where_they_are_written(define: Define) -> None:
    problems = problems_of(
        define,
        """
import functools
def decorated(function):
    @functools.wraps(function)
    async def called(*args, **kwargs): return await function(*args, **kwargs)
    return called
class Base(chains.ChainletBase):
    @decorated
    async def run_remote(self, x) -> int: ...
class Sub(Base):
    pass
""",
    )

    text = "Arguments of endpoints must have type annotations. Parameter `x` has no type annotation."
    assert problems == [f"9 ({name}.run_remote) [kind: IO_TYPE_ERROR]: {text}" for name in ("Base", "Sub")]


def test_a_class_of_no_file_is_named_by_its_module(define: Define) -> None:
    module = define("made = type('A', (chains.ChainletBase,), {'__module__': 'nowhere'})")

    with pytest.raises(ChainsUsageError, match=r"\nnowhere \(A\) \[kind: MISSING_API_ERROR\]: CHAINLETs must have"):
        registry.describe(module.made)
