"""Requests to a chainlet, through the runner's app: arguments in, results, items and errors out."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgpack  # type: ignore[import-untyped]  # it comes without types
import numpy
import pytest

from penstock.chains.pydantic_numpy import NumpyArrayField
from penstock.chains.remote.encoding import CHAIN, MSGPACK, decode_result, encode_arguments
from penstock.chains.remote.frames import (
    END,
    ERROR,
    ITEM,
    STREAM_FRAMED,
    STREAM_HEADER,
    STREAM_TYPE,
    read_error,
    read_frame,
)
from penstock_runner.predict.app import RequestApp
from penstock_runner.stream import ClientDisconnectedError
from penstock_testing.asgi_call import Answer, AsgiCall, ask, config, loaded
from penstock_testing.chainlet_serving import Serve

CANCELLING = "penstock: {cancel_on_disconnect: true}"
FRAMED = {STREAM_HEADER: STREAM_FRAMED}

UNARY = """
class Size(pydantic.BaseModel):
    width: int
    height: int = 2

class Scaler(chains.ChainletBase):
    async def run_remote(self, size: Size, factor: int = 10, note: str = "none") -> tuple[Size, str]:
        return Size(width=size.width * factor, height=size.height * factor), note
"""

FAILING = """
class OwnError(Exception):
    pass

def deep(kind: str) -> str:
    if kind == "http":
        raise fastapi.HTTPException(422, "not so", headers={"retry-after": "7"})
    if kind == "exit":
        raise SystemExit(3)
    if kind == "own":
        raise OwnError("it broke")
    return kind

class Failing(chains.ChainletBase):
    async def run_remote(self, kind: str) -> int:
        return deep(kind)
"""

STREAM = """
class Talker(chains.ChainletBase):
    def __init__(self) -> None:
        self.ended: list[str] = []
        self.waiting = asyncio.Event()

    async def run_remote(self, words: list[str]) -> AsyncIterator[str]:
        try:
            for word in words:
                if word == "fail":
                    raise ValueError("no such word")
                if word == "lost":
                    raise asyncio.CancelledError
                if word == "wait":
                    self.waiting.set()
                    await asyncio.Event().wait()
                yield word
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        finally:
            self.ended.append("cleaned up")
"""


def app_of(model: Any, settings: str = "") -> RequestApp:
    return RequestApp(loaded(model), config(settings))


def error_of(answer: Answer) -> Any:
    return answer.json()["error"]


def test_arguments_that_are_not_sent_take_the_default_of_the_callee(serve: Serve) -> None:
    answer = ask(app_of(serve(UNARY, "Scaler")), body=b'{"size": {"width": 3}}')

    assert (answer.status, answer.json()) == (200, [{"width": 30, "height": 20}, "none"])
    assert answer.headers["content-type"] == "application/json"


def test_msgpack_is_answered_in_msgpack(serve: Serve) -> None:
    body = msgpack.packb({"size": {"width": 3, "height": 1}, "factor": 2, "note": "n"})

    answer = ask(app_of(serve(UNARY, "Scaler")), body=body, headers={"content-type": MSGPACK})

    assert answer.headers["content-type"] == MSGPACK
    assert msgpack.unpackb(answer.body) == [{"width": 6, "height": 2}, "n"]


def test_arrays_of_chainlets_go_out_part_by_part(serve: Serve) -> None:
    model = serve(
        """
        from penstock.chains.pydantic_numpy import NumpyArrayField

        class Frame(pydantic.BaseModel):
            data: NumpyArrayField

        class Doubler(chains.ChainletBase):
            async def run_remote(self, frame: Frame) -> Frame:
                return Frame(data=NumpyArrayField(array=frame.data.array * 2))
        """,
        "Doubler",
    )
    data = numpy.arange(100_000, dtype=numpy.float32)
    types = model.endpoint.types
    body = b"".join(encode_arguments(types, {"frame": {"data": NumpyArrayField(array=data)}}, CHAIN))

    answer = ask(app_of(model), body=body, headers={"content-type": CHAIN})

    assert answer.headers["content-length"] == str(len(answer.body))
    assert len(answer.parts) > 1, "the array was copied into one body"
    assert (decode_result(types, answer.body, CHAIN).data.array == data * 2).all()


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"factor": 2}', "Input Parsing Error:\n  `size`: Field required."),
        (b'{"size": {"width": "x"}}', "Input Parsing Error:\n  `size.width`: Input should be a valid integer"),
        (b'{"size": {}, "factor": []}', "Input Parsing Errors:\n  `size.width`: Field required.\n  `factor`: "),
        (b"{", "Input Parsing Error:\n  `__root__`: Invalid JSON: "),
    ],
    ids=["missing", "bad type", "two", "no json"],
)
def test_wrong_arguments_are_told_as_truss_does(serve: Serve, body: bytes, text: str) -> None:
    answer = ask(app_of(serve(UNARY, "Scaler")), body=body)

    assert answer.status == 400
    assert error_of(answer).startswith(text)
    assert answer.headers["x-baseten-error-code"] == "700"


def test_an_exception_is_told_with_the_frames_of_the_user_only(serve: Serve) -> None:
    answer = ask(app_of(serve(FAILING, "Failing")), body=b'{"kind": "own"}')

    error = error_of(answer)
    assert answer.status == 500
    assert (error["exception_cls_name"], error["exception_message"]) == ("OwnError", "it broke")
    assert error["exception_module_name"].startswith("chain_of_a_test")
    assert [frame["name"] for frame in error["user_stack_trace"]] == ["run_remote", "deep"]
    assert answer.headers["x-baseten-error-code"] == "600"


def test_the_status_and_headers_of_an_http_exception_are_kept(serve: Serve) -> None:
    answer = ask(app_of(serve(FAILING, "Failing")), body=b'{"kind": "http"}')

    assert answer.status == 422
    assert error_of(answer)["exception_cls_name"] == "HTTPException"
    assert answer.headers["retry-after"] == "7"


def test_an_exit_of_user_code_is_an_error_like_any_other(serve: Serve) -> None:
    answer = ask(app_of(serve(FAILING, "Failing")), body=b'{"kind": "exit"}')

    assert (answer.status, error_of(answer)["exception_cls_name"]) == (500, "SystemExit")


def test_a_result_of_the_wrong_type_is_an_error_of_the_chainlet(serve: Serve) -> None:
    answer = ask(app_of(serve(FAILING, "Failing")), body=b'{"kind": "no number"}')

    assert (answer.status, error_of(answer)["exception_cls_name"]) == (500, "ValidationError")


@pytest.mark.parametrize("prefix", ["async ", ""], ids=["loop", "thread"])
def test_the_ids_of_the_request_hold_inside_of_run_remote(serve: Serve, prefix: str) -> None:
    model = serve(
        f"""
        import threading
        from penstock.chains.remote import trace

        class Tracing(chains.ChainletBase):
            {prefix}def run_remote(self) -> tuple[str, bool]:
                on_main = threading.current_thread() is threading.main_thread()
                return trace.current()["traceparent"], on_main
        """,
        "Tracing",
    )

    answer = ask(app_of(model), headers={"traceparent": "TRACE_ID"})

    assert answer.json() == ["TRACE_ID", bool(prefix)]


def test_a_failure_in_a_thread_is_told_as_any_other(serve: Serve) -> None:
    source = FAILING.replace("async def run_remote", "def run_remote")

    answer = ask(app_of(serve(source, "Failing")), body=b'{"kind": "http"}')

    assert (answer.status, error_of(answer)["exception_cls_name"]) == (422, "HTTPException")


def test_wrong_arguments_of_a_sync_chainlet_are_told(serve: Serve) -> None:
    answer = ask(app_of(serve(FAILING.replace("async def", "def"), "Failing")), body=b"{}")

    assert answer.status == 400


def test_awaiting_what_was_cancelled_is_a_failure_of_the_chainlet(serve: Serve) -> None:
    model = serve(
        """
        class Awaiting(chains.ChainletBase):
            async def run_remote(self) -> None:
                future = asyncio.get_running_loop().create_future()
                future.cancel()
                await future
        """,
        "Awaiting",
    )

    answer = ask(app_of(model))

    assert (answer.status, error_of(answer)["exception_cls_name"]) == (500, "CancelledError")


def test_a_client_that_leaves_cancels_run_remote(serve: Serve) -> None:
    model = serve(
        """
        class Slow(chains.ChainletBase):
            def __init__(self) -> None:
                self.ended: list[str] = []
                self.waiting = asyncio.Event()

            async def run_remote(self) -> None:
                self.waiting.set()
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    self.ended.append("cancelled")
                    raise
        """,
        "Slow",
    )
    chainlet = model._served.chainlet

    async def main() -> None:
        call = AsgiCall()
        task = asyncio.create_task(call.run(app_of(model, CANCELLING)))
        await chainlet.waiting.wait()
        call.leave()
        with pytest.raises(ClientDisconnectedError):
            await task

    asyncio.run(main())

    assert chainlet.ended == ["cancelled"]


def test_a_model_base_answers_by_predict(serve: Serve) -> None:
    model = serve(
        """
        class Adder(chains.ModelBase):
            async def predict(self, a: int, b: int) -> int:
                return a + b
        """,
        "Adder",
    )

    assert ask(app_of(model), body=b'{"a": 1, "b": 2}').json() == 3


def test_the_schema_is_that_of_the_arguments_and_the_result(serve: Serve) -> None:
    model = serve(UNARY, "Scaler")

    schema = ask(app_of(model), "/v1/models/model/schema", method="GET").json()

    assert schema["input_schema"]["title"] == "ScalerInput"
    assert schema["input_schema"]["required"] == ["size"]
    assert set(schema["input_schema"]["properties"]) == {"size", "factor", "note"}
    assert schema["output_schema"]["title"] == "ScalerOutput"
    assert schema["output_schema"]["type"] == "array"
    assert schema["supports_streaming"] is False


def test_each_item_of_a_stream_is_one_part(serve: Serve) -> None:
    answer = ask(app_of(serve(STREAM, "Talker")), body=b'{"words": ["a", "b\xc3\xa4"]}')

    assert (answer.status, answer.parts) == (200, [b"a", "bä".encode()])
    assert answer.headers["content-type"] == "application/octet-stream"


def test_the_schema_of_a_stream_says_so(serve: Serve) -> None:
    schema = ask(app_of(serve(STREAM, "Talker")), "/v1/models/model/schema", method="GET").json()

    assert (schema["output_schema"], schema["supports_streaming"]) == (None, True)


def test_a_stream_that_fails_ends_as_in_truss(serve: Serve) -> None:
    model = serve(STREAM, "Talker")

    answer = ask(app_of(model), body=b'{"words": ["a", "fail"]}')

    assert (answer.parts, answer.is_complete) == ([b"a"], True)
    assert model._served.chainlet.ended == ["cleaned up"]


def test_wrong_arguments_of_a_stream_are_told(serve: Serve) -> None:
    answer = ask(app_of(serve(STREAM, "Talker")), body=b"{}", headers=FRAMED)

    assert (answer.status, error_of(answer)) == (400, "Input Parsing Error:\n  `words`: Field required.")


def test_frames_keep_empty_items(serve: Serve) -> None:
    answer = ask(app_of(serve(STREAM, "Talker")), body=b'{"words": ["", "a", ""]}', headers=FRAMED)

    assert answer.headers["content-type"] == STREAM_TYPE
    assert list(map(read_frame, answer.parts)) == [(ITEM, b""), (ITEM, b"a"), (ITEM, b""), (END, b"")]


def test_frames_tell_of_an_error_behind_the_first_item(serve: Serve) -> None:
    answer = ask(app_of(serve(STREAM, "Talker")), body=b'{"words": ["a", "fail"]}', headers=FRAMED)

    (first, _), (last, content) = map(read_frame, answer.parts)
    status, body = read_error(content)
    assert (first, last, status) == (ITEM, ERROR, 500)
    assert json.loads(body)["error"]["exception_message"] == "no such word"


def test_what_the_generator_awaited_and_was_cancelled_is_an_error_as_any_other(serve: Serve) -> None:
    answer = ask(app_of(serve(STREAM, "Talker")), body=b'{"words": ["a", "lost"]}', headers=FRAMED)

    (first, _), (last, content) = map(read_frame, answer.parts)
    assert (first, last) == (ITEM, ERROR)
    assert json.loads(read_error(content)[1])["error"]["exception_cls_name"] == "CancelledError"


@pytest.mark.parametrize("headers", [{}, FRAMED], ids=["raw", "framed"])
def test_a_client_that_leaves_cancels_the_generator(serve: Serve, headers: dict[str, str]) -> None:
    model = serve(STREAM, "Talker")
    chainlet = model._served.chainlet

    async def main() -> None:
        call = AsgiCall(body=b'{"words": ["a", "wait"]}', headers=headers)
        task = asyncio.create_task(call.run(app_of(model, CANCELLING)))
        await call.got.get()
        await chainlet.waiting.wait()
        call.leave()
        with pytest.raises(ClientDisconnectedError):
            await task

    asyncio.run(main())

    assert chainlet.ended == ["cancelled", "cleaned up"]
