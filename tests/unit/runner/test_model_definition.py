"""Checks of the model class, with the messages of Truss (truss.md sections 1.1, 2.2, 2.7)."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator
from typing import Any

import fastapi
import pytest

from penstock_runner.model.definition import InputKind, check_model, input_kind
from penstock_runner.model.errors import ModelDefinitionError


class WebSocketModel:
    async def websocket(self, websocket: fastapi.WebSocket) -> None: ...


def model(**methods: Any) -> object:
    """Makes an instance of a class with these methods."""
    return type("Model", (), methods)()


def refused(instance: object) -> str:
    with pytest.raises(ModelDefinitionError) as caught:
        check_model(instance)
    return str(caught.value)


async def good_websocket(self: object, ws: Any) -> None: ...


def predict(self: object, inputs: Any) -> Any: ...


def test_websocket_model_is_accepted() -> None:
    instance = WebSocketModel()

    definition = check_model(instance)

    assert definition.websocket == instance.websocket
    assert definition.predict is None


def test_unannotated_argument_of_any_name_is_accepted() -> None:
    assert check_model(model(websocket=good_websocket)).websocket is not None


def test_other_methods_remain_usable() -> None:
    def nothing(self: object) -> None: ...

    def environment(self: object, environment: Any) -> None: ...

    check_model(
        model(
            websocket=good_websocket,
            load=nothing,
            is_healthy=nothing,
            setup_environment=environment,
            chat_completions=predict,
        )
    )


@pytest.mark.parametrize("other", ["predict", "preprocess", "postprocess"])
def test_websocket_excludes_the_predict_methods(other: str) -> None:
    message = refused(model(websocket=good_websocket, **{other: predict}))

    assert "cannot have both" in message
    assert f"`{other}`" in message


def test_model_without_any_method_is_refused() -> None:
    assert "must have a `predict` or `websocket` method" in refused(model())


def test_preprocess_alone_is_no_model() -> None:
    assert "must have a `predict` or `websocket` method" in refused(model(preprocess=predict))


async def no_argument(self: object) -> None: ...


async def two_arguments(self: object, websocket: Any, extra: Any) -> None: ...


async def request_argument(self: object, request: fastapi.Request) -> None: ...


async def without_self() -> None: ...


def test_method_without_self_is_refused() -> None:
    assert "`websocket` must be a method with `self` as its first argument" in refused(model(websocket=without_self))


@pytest.mark.parametrize("method", [no_argument, two_arguments, request_argument])
def test_websocket_with_wrong_arguments_is_refused(method: Any) -> None:
    assert "`websocket` must have only one argument: `websocket`." in refused(model(websocket=method))


def sync_websocket(self: object, websocket: Any) -> None: ...


async def generator_websocket(self: object, websocket: Any) -> AsyncIterator[str]:
    yield ""


@pytest.mark.parametrize("method", [sync_websocket, generator_websocket])
def test_websocket_that_is_no_coroutine_function_is_refused(method: Any) -> None:
    assert "must be async function definitions" in refused(model(websocket=method))


def test_decorated_websocket_that_lost_its_asyncness_is_refused() -> None:
    @functools.wraps(good_websocket)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return good_websocket(*args, **kwargs)

    assert "must be async function definitions" in refused(model(websocket=wrapper))


def test_attribute_that_is_no_method_is_refused() -> None:
    assert "`websocket` must be a method, got str." in refused(model(websocket="text"))


def test_is_healthy_takes_no_arguments() -> None:
    message = refused(model(websocket=good_websocket, is_healthy=predict))

    assert "`is_healthy` must have no arguments other than `self`." in message


def test_load_takes_no_arguments_and_is_not_async() -> None:
    async def load(self: object) -> None: ...

    assert "`load` must have no arguments" in refused(model(websocket=good_websocket, load=predict))
    assert "`load` must not be async" in refused(model(websocket=good_websocket, load=load))


EXTRAS = ["chat_completions", "completions", "embeddings", "messages", "responses"]


@pytest.mark.parametrize("kind", ["websocket", "predict"])
@pytest.mark.parametrize("name", EXTRAS)
def test_every_model_may_have_the_methods_in_the_style_of_openai(name: str, kind: str) -> None:
    instance = model(**{kind: good_websocket, name: predict})

    definition = check_model(instance)

    assert getattr(definition, name) == getattr(instance, name)
    assert [other for other in EXTRAS if getattr(definition, other) is not None] == [name]


@pytest.mark.parametrize("name", EXTRAS)
def test_methods_in_the_style_of_openai_take_what_predict_may_take(name: str) -> None:
    assert f"`{name}` cannot have more than two arguments" in refused(model(predict=predict, **{name: three_more}))


def test_is_healthy_is_kept_for_the_health_checks() -> None:
    def is_healthy(self: object) -> bool:
        return True

    instance = model(predict=predict, is_healthy=is_healthy)

    assert check_model(instance).is_healthy == instance.is_healthy  # type: ignore[attr-defined] # made at run time
    assert check_model(model(predict=predict)).is_healthy is None


def three_more(self: object, a: Any, b: Any, c: Any) -> None: ...


def inputs_only(inputs: Any) -> None: ...


def request_only(request: fastapi.Request) -> None: ...


def request_as_text(request: "fastapi.Request") -> None: ...  # noqa: UP037 the text is what is tested


def inputs_and_request(inputs: Any, request: fastapi.Request) -> None: ...


def nothing_at_all() -> None: ...


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        (nothing_at_all, InputKind.NONE),
        (inputs_only, InputKind.INPUTS_ONLY),
        (request_only, InputKind.REQUEST_ONLY),
        (request_as_text, InputKind.REQUEST_ONLY),
        (inputs_and_request, InputKind.INPUTS_AND_REQUEST),
    ],
)
def test_input_kind_follows_the_signature(method: Any, kind: InputKind) -> None:
    assert input_kind(method, "predict") is kind


def three(a: Any, b: Any, c: Any) -> None: ...


def request_first(request: fastapi.Request, inputs: Any) -> None: ...


def second_unannotated(inputs, request): ...  # type: ignore[no-untyped-def]


def second_other(inputs: Any, request: int) -> None: ...


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (three, "`predict` cannot have more than two arguments"),
        (request_first, "must take the request as the second"),
        (second_unannotated, "is unannotated; it must be a request"),
        (second_other, "must be annotated as `fastapi.Request`"),
    ],
)
def test_signature_that_truss_does_not_know_is_refused(method: Any, message: str) -> None:
    with pytest.raises(ModelDefinitionError, match=message):
        input_kind(method, "predict")


def request_method(self: object, request: fastapi.Request) -> None: ...


def test_predict_must_take_what_preprocess_gives() -> None:
    message = refused(model(preprocess=predict, predict=request_method))

    assert "`predict` may not be request-only" in message


def test_postprocess_must_take_what_predict_gives() -> None:
    message = refused(model(predict=predict, postprocess=request_method))

    assert "`postprocess` may not be request-only" in message


def test_predict_model_is_accepted() -> None:
    definition = check_model(model(preprocess=request_method, predict=predict, postprocess=predict))

    assert definition.websocket is None
    assert definition.predict is not None
