"""The schema of a model (truss.md section 2.3)."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator
from typing import Any, Optional, Union

import pydantic
import pydantic.v1
import pytest
from fastapi import Request

from penstock_runner.predict.schema import make_schema
from penstock_testing.asgi_call import loaded


class Question(pydantic.BaseModel):
    text: str


class Reply(pydantic.BaseModel):
    score: float


class OldQuestion(pydantic.v1.BaseModel):
    text: str


def schema_of(**methods: Callable[..., Any]) -> dict[str, Any] | None:
    return make_schema(loaded(type("Model", (), methods)()).definition)


def returning(annotation: Any) -> Callable[..., Any]:
    def predict(self: object, inputs: Question) -> Any: ...

    predict.__annotations__["return"] = annotation
    return predict


def test_schema_has_the_models_of_input_and_output() -> None:
    def predict(self: object, inputs: Question) -> Reply: ...  # type: ignore[empty-body] # only its signature counts

    assert schema_of(predict=predict) == {
        "input_schema": Question.model_json_schema(),
        "output_schema": Reply.model_json_schema(),
        "supports_streaming": False,
    }


@pytest.mark.parametrize(
    ("annotation", "output", "supports_streaming"),
    [
        (Reply, Reply, False),
        (Awaitable[Reply], Reply, False),
        (Coroutine[Any, Any, Reply], Reply, False),
        (Generator[str, None, None], None, True),
        (Generator, None, True),
        (Iterator[str], None, True),
        (AsyncIterator[bytes], None, True),
        (AsyncGenerator[str, None], None, True),
        (Union[Reply, Generator[str, None, None]], Reply, True),  # noqa: UP007 this spelling is what is tested
        (Reply | Iterator[str], Reply, True),
        (Awaitable[Reply] | AsyncGenerator[str, None], Reply, True),
    ],
)
def test_output_annotations_that_tell_something(annotation: Any, output: Any, supports_streaming: bool) -> None:
    schema = schema_of(predict=returning(annotation))

    assert schema is not None
    assert schema["output_schema"] == (output and output.model_json_schema())
    assert schema["supports_streaming"] is supports_streaming


@pytest.mark.parametrize(
    "annotation",
    [
        Any,
        dict[str, Any],
        list[str],
        str,
        None,
        Awaitable[dict[str, Any]],
        Optional[Reply],  # noqa: UP045 this spelling is what is tested
        Reply | Question,
        Union[Reply, Generator[str, None, None], None],  # noqa: UP007 this spelling is what is tested
        "NotThere",
    ],
)
def test_output_annotations_that_tell_nothing(annotation: Any) -> None:
    assert schema_of(predict=returning(annotation)) is None


def test_no_schema_without_annotations() -> None:
    def predict(self, inputs): ...  # type: ignore[no-untyped-def] # that it has none is what is tested

    assert schema_of(predict=predict) is None


def test_no_schema_when_the_input_is_no_pydantic_model() -> None:
    def predict(self: object, inputs: dict[str, Any]) -> Reply: ...  # type: ignore[empty-body] # as above

    assert schema_of(predict=predict) is None


def test_the_first_and_the_last_step_count() -> None:
    def preprocess(self: object, inputs: Question) -> Any: ...

    def predict(self: object, inputs: Any) -> Any: ...

    def postprocess(self: object, inputs: Any) -> Reply: ...  # type: ignore[empty-body] # only its signature counts

    schema = schema_of(preprocess=preprocess, predict=predict, postprocess=postprocess)

    assert schema is not None
    assert schema["input_schema"] == Question.model_json_schema()
    assert schema["output_schema"] == Reply.model_json_schema()


def test_a_request_beside_the_input_does_not_matter() -> None:
    def predict(self: object, inputs: Question, request: Request) -> Reply: ...  # type: ignore[empty-body] # as above

    assert schema_of(predict=predict) is not None


def test_models_of_pydantic_1_have_a_schema_too() -> None:
    def predict(self: object, inputs: OldQuestion) -> Iterator[str]: ...  # type: ignore[empty-body] # as above

    schema = schema_of(predict=predict)

    assert schema is not None
    assert schema["input_schema"] == OldQuestion.schema()


def test_a_decorated_method_has_the_schema_of_the_one_inside() -> None:
    def predict(self: object, inputs: Question) -> Reply: ...  # type: ignore[empty-body] # only its signature counts

    of_a_library: dict[str, Any] = {}
    exec("def wrapper(*args): ...", of_a_library)

    assert schema_of(predict=functools.wraps(predict)(of_a_library["wrapper"])) is not None


def test_a_model_without_predict_has_no_schema() -> None:
    async def websocket(self: object, websocket: Any) -> None: ...

    assert schema_of(websocket=websocket) is None
