"""Stubs of dependencies: objects whose `run_remote` has the callee's signature and calls it where it runs."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any
from urllib.parse import urlsplit

from penstock.chains import registry
from penstock.chains.context import DeployedServiceDescriptor
from penstock.chains.description import Dependency, EndpointDescription, EndpointKind
from penstock.chains.errors import ChainsUsageError
from penstock.chains.remote import frames
from penstock.chains.remote.arguments import ArgumentNames
from penstock.chains.remote.callee import Callee
from penstock.chains.remote.encoding import CHAIN, JSON, MSGPACK, decode_item, decode_result, encode_arguments, types_of
from penstock.chains.remote.http_transport import HttpTransport
from penstock.chains.remote.item_stream import BEGUN, ItemStream
from penstock.chains.remote.runtime import installed
from penstock.chains.remote.stub_base import (
    StubBase as StubBase,
)
from penstock.chains.remote.stub_base import headers, http_transport, raw_items, result_content_type, text_items
from penstock.chains.remote.transport import Call, Transport


def make_stub(
    dependency: Dependency, descriptor: DeployedServiceDescriptor, transport: Transport | None, api_key: str = ""
) -> StubBase:
    """Returns the stub that stands for a dependency in the chainlet that calls it.

    Its `run_remote` takes what the callee's takes, every argument being required, and gives what the callee's gives:
    something to await, a value (where the callee's is not `async`), or an asynchronous iterator.

    Args:
        dependency: What is called, and how.
        descriptor: Its URLs and options; the options are those of the calls.
        transport: The way there; None for HTTP to the descriptor's URL.
        api_key: For HTTP.

    Raises:
        ChainsUsageError: The chainlet cannot be called by others.
    """
    endpoint = registry.describe(dependency.chainlet).endpoint
    if endpoint is None or endpoint.kind is EndpointKind.WEBSOCKET:
        raise ChainsUsageError(
            f"`{dependency.display_name}` has no `run_remote` that another chainlet could call: it is "
            f"{'a TrussChainlet, which a TrussHandle reaches' if endpoint is None else 'reached by WebSocket only'}."
        )
    runtime = installed()
    callee = Callee(
        descriptor.display_name,
        descriptor.options,
        transport or http_transport(descriptor, api_key),
        runtime.loop if runtime is not None and transport is not None else None,
        lambda: http_transport(_where_it_is_now(descriptor), api_key),
    )
    content_type = JSON
    if descriptor.options.use_binary:
        content_type = MSGPACK if transport is None else CHAIN
    name = dependency.chainlet.__name__
    run_remote = _METHODS[endpoint.kind](name, endpoint, callee, content_type)
    run_remote.__name__ = "run_remote"
    run_remote.__qualname__ = f"{name}.run_remote"
    run_remote.__doc__ = getattr(dependency.chainlet, endpoint.name).__doc__
    run_remote.__signature__ = _signature(endpoint)  # type: ignore[attr-defined]  # what `inspect` looks for
    kind = type(name, (_GeneratedStub,), {"run_remote": run_remote, "__module__": dependency.chainlet.__module__})
    stub: _GeneratedStub = kind(descriptor, callee, content_type)
    return stub


def _where_it_is_now(descriptor: DeployedServiceDescriptor) -> DeployedServiceDescriptor:
    """Returns the descriptor with the address of an edge that is there now; that of the start may be gone."""
    runtime = installed()
    if runtime is None or not descriptor.predict_url:
        return descriptor
    address = runtime.peers(0.0).http_address
    if not address:
        return descriptor
    url = urlsplit(descriptor.predict_url)._replace(netloc=address).geturl()
    return descriptor.model_copy(update={"predict_url": url})


class _GeneratedStub(StubBase):
    """The stub of a dependency; each has a class of its own, with its `run_remote`."""

    def __init__(self, descriptor: DeployedServiceDescriptor, callee: Callee, content_type: str) -> None:
        self._service_descriptor = descriptor
        self._callee = callee
        self._content_type = content_type


def _unary(name: str, endpoint: EndpointDescription, callee: Callee, content_type: str) -> Callable[..., Any]:
    types = types_of(endpoint)
    names = ArgumentNames(name, endpoint)

    async def run_remote(_stub: object, *args: Any, **kwargs: Any) -> Any:
        body = encode_arguments(types, names.bound(args, kwargs), content_type)
        reply = await callee.call(Call(body, headers(content_type)))
        return decode_result(types, reply.body, result_content_type(reply, content_type))

    def run_remote_sync(_stub: object, *args: Any, **kwargs: Any) -> Any:
        body = encode_arguments(types, names.bound(args, kwargs), content_type)
        reply = callee.call_blocking(Call(body, headers(content_type)))
        return decode_result(types, reply.body, result_content_type(reply, content_type))

    return run_remote if endpoint.is_async else run_remote_sync


def _stream(name: str, endpoint: EndpointDescription, callee: Callee, content_type: str) -> Callable[..., Any]:
    types = types_of(endpoint)
    names = ArgumentNames(name, endpoint)
    item_type = endpoint.result_types[0]
    # Over HTTP the parts of a response do not stay apart, so frames would be torn.
    framed = {} if isinstance(callee.transport, HttpTransport) else {frames.STREAM_HEADER: frames.STREAM_FRAMED}

    def run_remote(_stub: object, *args: Any, **kwargs: Any) -> ItemStream[Any]:
        body = encode_arguments(types, names.bound(args, kwargs), content_type)
        items = raw_items(callee, Call(body, {**headers(content_type), **framed}))
        if item_type is bytes:
            return ItemStream(items)
        return ItemStream(text_items(items) if item_type is str else typed_items(items))

    async def typed_items(items: AsyncGenerator[bytes, None]) -> AsyncGenerator[Any, None]:
        async with aclosing(items):
            await anext(items)
            yield BEGUN
            async for item in items:
                yield decode_item(types, item, CHAIN)

    return run_remote


def _conversation(name: str, endpoint: EndpointDescription, callee: Callee, content_type: str) -> Callable[..., Any]:
    from penstock.chains.remote.conversation import converse

    names = ArgumentNames(name, endpoint)
    types_of(endpoint)  # made now, not in the first call

    async def items(arguments: Mapping[str, Any]) -> AsyncGenerator[Any, None]:
        callee.check_loop()
        is_binary = content_type != JSON
        async with callee.limit():
            talk = converse(
                callee.transport,
                headers(content_type),
                endpoint,
                arguments,
                is_binary,
                chainlet_name=callee.name,
                attempts=callee.attempts,
            )
            async with aclosing(talk):
                yield BEGUN
                async for item in talk:
                    yield item

    def run_remote(_stub: object, *args: Any, **kwargs: Any) -> ItemStream[Any]:
        return ItemStream(items(names.bound(args, kwargs)))

    return run_remote


_METHODS = {
    EndpointKind.UNARY: _unary,
    EndpointKind.STREAM: _stream,
    EndpointKind.CONVERSATION: _conversation,
}


def _signature(endpoint: EndpointDescription) -> inspect.Signature:
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    given = [inspect.Parameter(item.name, kind, annotation=item.annotation) for item in endpoint.arguments]
    return inspect.Signature([inspect.Parameter("self", kind), *given])
