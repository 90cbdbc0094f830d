"""Every rule for `run_remote`, with its text."""

from __future__ import annotations

import warnings

import pytest

from penstock.chains import registry
from penstock.chains.description import ChainletDescription, EndpointKind
from penstock_testing.chain_kit import Define, problems_of

CASES: dict[str, tuple[str, list[str]]] = {
    "no run_remote": (
        "class A(chains.ChainletBase):\n    x = 1",
        ["3 (A) [kind: MISSING_API_ERROR]: CHAINLETs must have a `run_remote` method."],
    ),
    "no predict": (
        "class A(chains.ModelBase):\n    async def run_remote(self, x: int) -> int: ...",
        ["3 (A) [kind: MISSING_API_ERROR]: MODELs must have a `predict` method."],
    ),
    "no method": (
        "class A(chains.ChainletBase):\n    run_remote = 3",
        ["3 (A.run_remote) [kind: TYPE_ERROR]: Endpoints must be a method."],
    ),
    "class method": (
        "class A(chains.ChainletBase):\n    @classmethod\n    async def run_remote(cls, x: int) -> int: ...",
        ["4 (A.run_remote) [kind: TYPE_ERROR]: Endpoints must be a method."],
    ),
    "static method": (
        "class A(chains.ChainletBase):\n    @staticmethod\n    async def run_remote(x: int) -> int: ...",
        [
            "4 (A.run_remote) [kind: TYPE_ERROR]: `run_remote` must be a method, i.e. with `self` as first argument. "
            "Got `x` as first argument."
        ],
    ),
    "other name than self": (
        "class A(chains.ChainletBase):\n    async def run_remote(me, x: int) -> int: ...",
        [
            "4 (A.run_remote) [kind: TYPE_ERROR]: `run_remote` must be a method, i.e. with `self` as first argument. "
            "Got `me` as first argument."
        ],
    ),
    "no self": (
        "class A(chains.ChainletBase):\n    async def run_remote() -> int: ...",
        [
            "4 (A.run_remote) [kind: TYPE_ERROR]: `run_remote` must be a method, i.e. with `self` as first argument. "
            "Got function with no arguments."
        ],
    ),
    "no annotations": (
        "class A(chains.ChainletBase):\n    async def run_remote(self, x, y=3): ...",
        [
            "4 (A.run_remote) [kind: IO_TYPE_ERROR]: Arguments of endpoints must have type annotations. Parameter `x` "
            "has no type annotation.",
            "4 (A.run_remote) [kind: IO_TYPE_ERROR]: Arguments of endpoints must have type annotations. Parameter `y` "
            "has no type annotation.",
            "4 (A.run_remote) [kind: IO_TYPE_ERROR]: Return values of endpoints must be type annotated. Got:\n"
            "\trun_remote(self, x, y=3) -> !MISSING!",
        ],
    ),
    "annotations as text": (
        'class A(chains.ChainletBase):\n    async def run_remote(self, x: "int") -> "int": ...',
        [
            f"4 (A.run_remote) [kind: IO_TYPE_ERROR]: A string-valued type annotation was found for `{name}` of type "
            "`int`. Use only actual types objects and avoid `from __future__ import annotations` (if needed upgrade "
            "python)."
            for name in ("x", "return_type")
        ],
    ),
    "arguments without a fixed name": (
        "class A(chains.ChainletBase):\n    async def run_remote(self, *args: int, **kwargs: int) -> int: ...",
        [
            "4 (A.run_remote) [kind: IO_TYPE_ERROR]: Every argument of an endpoint needs a name of its own. "
            f"Got `{got}`."
            for got in ("*args", "**kwargs")
        ],
    ),
    "argument by position only": (
        "class A(chains.ChainletBase):\n    async def run_remote(self, a: int, /, b: int, *, c: int = 3) -> int: ...",
        [
            "4 (A.run_remote) [kind: IO_TYPE_ERROR]: Arguments of endpoints are sent by name. Parameter `a` can only "
            "be given by position (`/`)."
        ],
    ),
    "stream of models": (
        "class A(chains.ChainletBase):\n    async def run_remote(self, a: int) -> AsyncIterator[int]:\n        yield 1",
        [
            "4 (A.run_remote) [kind: IO_TYPE_ERROR]: Streaming endpoints (containing `yield` statements) can only "
            "yield string or byte items. For streaming structured pydantic data, use `stream_writer` and "
            "`stream_reader` helpers."
        ],
    ),
    "stream of nothing": (
        "class A(chains.ChainletBase):\n    async def run_remote(self, a: int) -> AsyncIterator:\n        yield 1",
        ["4 (A.run_remote) [kind: IO_TYPE_ERROR]: Iterators must be annotated with type (one of ['bytes', 'str'])."],
    ),
    "stream without yield": (
        "class A(chains.ChainletBase):\n    async def run_remote(self, a: int) -> AsyncIterator[str]: ...",
        [
            "4 (A.run_remote) [kind: IO_TYPE_ERROR]: If the endpoint returns an iterator (streaming), it must have "
            "`yield` statements."
        ],
    ),
    "yield without stream": (
        "class A(chains.ChainletBase):\n    async def run_remote(self, a: int) -> str:\n        yield ''",
        [
            "4 (A.run_remote) [kind: IO_TYPE_ERROR]: If the endpoint is streaming (has `yield` statements), the return "
            "type must be an iterator (e.g. `AsyncIterator[bytes]`). Got:\n"
            "\trun_remote(self, a: int) -> str -> <class 'str'>"
        ],
    ),
    "websocket and more": (
        "class A(chains.ChainletBase):\n"
        "    async def run_remote(self, x: int, websocket: chains.WebSocketProtocol) -> None: ...",
        [
            "4 (A.run_remote) [kind: IO_TYPE_ERROR]: When using a websocket as input, no other arguments are allowed.",
        ],
    ),
    "two websockets": (
        "class A(chains.ChainletBase):\n"
        "    async def run_remote(self, a: chains.WebSocketProtocol, b: chains.WebSocketProtocol) -> None: ...",
        [
            "4 (A.run_remote) [kind: IO_TYPE_ERROR]: When using a websocket as input, no other arguments are allowed.",
        ],
    ),
    "websocket as result": (
        "class A(chains.ChainletBase):\n    async def run_remote(self, x: int) -> chains.WebSocketProtocol: ...",
        ["4 (A.run_remote) [kind: IO_TYPE_ERROR]: Websockets cannot be used as output type."],
    ),
    "websocket in result": (
        "class A(chains.ChainletBase):\n"
        "    async def run_remote(self, x: int) -> tuple[int, chains.WebSocketProtocol]: ...",
        ["4 (A.run_remote) [kind: IO_TYPE_ERROR]: Websockets cannot be used as output type."],
    ),
    "websocket with result": (
        "class A(chains.ChainletBase):\n    async def run_remote(self, w: chains.WebSocketProtocol) -> int: ...",
        ["4 (A.run_remote) [kind: IO_TYPE_ERROR]: Websocket endpoints must have `None` as return type."],
    ),
    "websocket with stream": (
        "class A(chains.ChainletBase):\n"
        "    async def run_remote(self, w: chains.WebSocketProtocol) -> AsyncIterator[str]:\n        yield ''",
        [
            "4 (A.run_remote) [kind: IO_TYPE_ERROR]: Websocket endpoints must have `None` as return type.",
            "4 (A.run_remote) [kind: IO_TYPE_ERROR]: Websocket endpoints cannot return iterators. Use the websocket "
            "itself to stream data.",
        ],
    ),
    "two streams in": (
        "class A(chains.ChainletBase):\n"
        "    async def run_remote(self, a: AsyncIterator[str], b: AsyncIterator[str]) -> AsyncIterator[str]:\n"
        "        yield ''",
        [
            "4 (A.run_remote) [kind: IO_TYPE_ERROR]: Only one argument of an endpoint can be an `AsyncIterator`. Got "
            "`a`, `b`."
        ],
    ),
    "stream in without stream out": (
        "class A(chains.ChainletBase):\n    async def run_remote(self, a: AsyncIterator[str]) -> int: ...",
        [
            "4 (A.run_remote) [kind: IO_TYPE_ERROR]: An endpoint that takes a stream (`a`) must return one, too, e.g. "
            "`AsyncIterator[str]`; for one result, `yield` it as the only item. Got:\n"
            "\trun_remote(self, a: collections.abc.AsyncIterator[str]) -> int -> <class 'int'>"
        ],
    ),
    "stream in with default": (
        "class A(chains.ChainletBase):\n"
        "    async def run_remote(self, a: AsyncIterator[str] = None) -> AsyncIterator[str]:\n        yield ''",
        ["4 (A.run_remote) [kind: IO_TYPE_ERROR]: An `AsyncIterator` argument cannot have a default. Got `a`."],
    ),
    "streams of nothing": (
        "class A(chains.ChainletBase):\n"
        "    async def run_remote(self, a: AsyncIterator) -> AsyncIterator:\n        yield ''",
        [
            "4 (A.run_remote) [kind: IO_TYPE_ERROR]: Streams must be annotated with the type of their items, e.g. "
            f"`AsyncIterator[bytes]`. Got `{name}`."
            for name in ("a", "return_type")
        ],
    ),
    "conversation without yield": (
        "class A(chains.ChainletBase):\n"
        "    async def run_remote(self, a: AsyncIterator[str]) -> AsyncIterator[str]: ...",
        [
            "4 (A.run_remote) [kind: IO_TYPE_ERROR]: If the endpoint returns an iterator (streaming), it must have "
            "`yield` statements."
        ],
    ),
    "conversation of a model": (
        "class A(chains.ModelBase):\n"
        "    async def predict(self, a: AsyncIterator[str]) -> AsyncIterator[str]:\n        yield ''",
        [
            "4 (A.predict) [kind: IO_TYPE_ERROR]: Only chainlets can take streams: `a` is an `AsyncIterator`, and a "
            "model has no chainlet that calls it. Use a `ChainletBase`, or `WebSocketProtocol` for streams from "
            "clients."
        ],
    ),
}


@pytest.mark.parametrize(("source", "expected"), CASES.values(), ids=CASES.keys())
def test_a_broken_rule_is_named_with_its_place(define: Define, source: str, expected: list[str]) -> None:
    assert problems_of(define, source) == expected


SYNC = {
    "sync websocket": (
        "class A(chains.ChainletBase):\n    def run_remote(self, w: chains.WebSocketProtocol) -> None: ...",
        ["4 (A.run_remote) [kind: IO_TYPE_ERROR]: Websocket endpoints must be async."],
    ),
    "sync stream": (
        "class A(chains.ChainletBase):\n    def run_remote(self, a: int) -> AsyncIterator[str]:\n        yield ''",
        [
            "4 (A.run_remote) [kind: IO_TYPE_ERROR]: Streaming endpoints (containing `yield` statements) are only "
            "supported for async endpoints."
        ],
    ),
    "sync conversation": (
        "class A(chains.ChainletBase):\n"
        "    def run_remote(self, a: AsyncIterator[str]) -> AsyncIterator[str]:\n        yield ''",
        ["4 (A.run_remote) [kind: IO_TYPE_ERROR]: Endpoints that take a stream must be async."],
    ),
}


@pytest.mark.parametrize(("source", "expected"), SYNC.values(), ids=SYNC.keys())
def test_streams_and_websockets_are_async(define: Define, source: str, expected: list[str]) -> None:
    with pytest.warns(DeprecationWarning, match="`run_remote` must be an async"):
        assert problems_of(define, source) == expected


def test_a_method_that_is_not_async_works_with_a_warning_at_its_line(define: Define) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        module = define("class A(chains.ChainletBase):\n    def run_remote(self, x: int) -> int: ...")
    registry.raise_errors()

    [warning] = caught
    assert warning.category is DeprecationWarning
    assert (warning.filename, warning.lineno) == (module.__file__, 4)
    assert str(warning.message).startswith(
        "`run_remote` must be an async (coroutine) function in future releases. Replace `def run_remote(...)` with "
        "`async def run_remote(...)`. Local testing and execution can be done with "
        "`asyncio.run(my_chainlet.run_remote(...))`."
    )


def described(define: Define, method: str, body: str = "...") -> ChainletDescription:
    module = define(f"class A(chains.ChainletBase):\n    async def run_remote{method}: {body}")
    registry.raise_errors()
    return registry.describe(module.A)


def test_arguments_and_results_are_described(define: Define) -> None:
    endpoint = described(define, "(self, a: int, b: list[str], *, c: bool = True) -> tuple[int, str]").endpoint

    assert endpoint is not None
    assert (endpoint.name, endpoint.kind, endpoint.is_async) == ("run_remote", EndpointKind.UNARY, True)
    assert [(each.name, each.annotation, each.is_optional, each.default) for each in endpoint.arguments] == [
        ("a", int, False, None),
        ("b", list[str], False, None),
        ("c", bool, True, True),
    ]
    assert (endpoint.result_types, endpoint.is_tuple) == ((int, str), True)


@pytest.mark.parametrize("result", ["str", "bytes"])
def test_a_stream_needs_no_argument(define: Define, result: str) -> None:
    endpoint = described(define, f"(self) -> AsyncIterator[{result}]", "yield").endpoint

    assert endpoint is not None
    assert endpoint.kind is EndpointKind.STREAM
    assert endpoint.result_types == ({"str": str, "bytes": bytes}[result],)


def test_a_conversation_has_a_typed_stream_each_way_and_other_arguments(define: Define) -> None:
    method = "(self, language: str, audio: AsyncIterator[bytes], n: int = 2) -> AsyncIterator[list[str]]"
    endpoint = described(define, method, "yield []").endpoint

    assert endpoint is not None
    assert endpoint.kind is EndpointKind.CONVERSATION
    assert endpoint.stream_argument is not None
    assert (endpoint.stream_argument.name, endpoint.stream_argument.item_type) == ("audio", bytes)
    assert endpoint.result_types == (list[str],)
    assert [argument.name for argument in endpoint.arguments] == ["language", "audio", "n"]


def test_items_of_conversations_are_of_types_that_can_be_sent(define: Define) -> None:
    problems = problems_of(
        define,
        """
class A(chains.ChainletBase):
    async def run_remote(self, a: AsyncIterator[object]) -> AsyncIterator[set[int]]:
        yield set()
""",
    )

    assert [problem.split(" Supported are:")[0] for problem in problems] == [
        "4 (A.run_remote) [kind: IO_TYPE_ERROR]: Unsupported I/O type for `items of a` of type `<class 'object'>`.",
        "4 (A.run_remote) [kind: IO_TYPE_ERROR]: Unsupported I/O type for `items of return_type` of type `set[int]`.",
    ]


def test_a_websocket_endpoint_has_no_results(define: Define) -> None:
    endpoint = described(define, "(self, websocket: chains.WebSocketProtocol) -> None").endpoint

    assert endpoint is not None
    assert (endpoint.kind, endpoint.result_types) == (EndpointKind.WEBSOCKET, ())


def test_a_websocket_beside_a_stream_is_no_conversation(define: Define) -> None:
    problems = problems_of(
        define,
        """
class A(chains.ChainletBase):
    async def run_remote(self, w: chains.WebSocketProtocol, a: AsyncIterator[str]) -> None: ...
""",
    )

    assert [problem.partition(". ")[0] for problem in problems] == [
        "4 (A.run_remote) [kind: IO_TYPE_ERROR]: Unsupported I/O type for `a` of type "
        "`collections.abc.AsyncIterator[str]`",
        "4 (A.run_remote) [kind: IO_TYPE_ERROR]: When using a websocket as input, no other arguments are allowed.",
    ]
