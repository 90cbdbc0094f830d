"""Calls to a deployed model or chain that is known by its URL, and the base of the stubs of dependencies."""

from __future__ import annotations

import codecs
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Self, TypeVar, overload

import pydantic

from penstock.chains.context import DeployedServiceDescriptor, DeploymentContext
from penstock.chains.errors import MissingDependencyError
from penstock.chains.options import RPCOptions
from penstock.chains.remote import frames, trace
from penstock.chains.remote.callee import Callee
from penstock.chains.remote.encoding import CHAIN, JSON, MSGPACK, decode_value, encode_value
from penstock.chains.remote.encoding_types import ValueType
from penstock.chains.remote.http_transport import HttpTransport
from penstock.chains.remote.item_stream import BEGUN, ItemStream
from penstock.chains.remote.rpc_errors import raise_remote
from penstock.chains.remote.transport import Call, Reply
from penstock.close_codes import EndCode
from penstock.errors import error_for

Json = Any
"""Anything that JSON can hold: mostly a dict."""

_Model = TypeVar("_Model", bound=pydantic.BaseModel)
_Result = TypeVar("_Result")

_BINARY = frozenset({MSGPACK, CHAIN})


class StubBase:
    """Calls a deployed model or chain from a chainlet. Subclasses give it a typed `run_remote`:

        class Whisper(chains.StubBase):
            async def run_remote(self, audio_b64: str) -> WhisperOutput:
                return await self.predict_async({"audio": audio_b64}, output_model=WhisperOutput)

        whisper = Whisper.from_url(WHISPER_URL, context, options=chains.RPCOptions(retries=3))

    What goes wrong: TimeoutError after `options.timeout_sec`; the class that the callee raised, where it is known here,
    or GenericRemoteException; PenstockError where there was no response at all. Each is tried again, `options.retries`
    attempts in all.
    """

    def __init__(self, service_descriptor: DeployedServiceDescriptor, api_key: str) -> None:
        """Args: service_descriptor: where and how. api_key: sent with every request; empty for none."""
        self._service_descriptor = service_descriptor
        self._callee = Callee(
            service_descriptor.display_name, service_descriptor.options, http_transport(service_descriptor, api_key)
        )
        self._content_type = MSGPACK if service_descriptor.options.use_binary else JSON

    @classmethod
    def from_url(
        cls, predict_url: str, context_or_api_key: DeploymentContext | str, options: RPCOptions | None = None
    ) -> Self:
        """Returns a stub for a URL; to be used in a chainlet's `__init__`.

        Args:
            predict_url: where requests are posted.
            context_or_api_key: the chainlet's context, whose secret `baseten_chain_api_key` is sent if it is there, or
                the key itself.
            options: how calls are made.
        """
        descriptor = DeployedServiceDescriptor(
            name=cls.__name__, display_name=cls.__name__, predict_url=predict_url, options=options or RPCOptions()
        )
        return cls(descriptor, api_key_of(context_or_api_key))

    @property
    def name(self) -> str:
        """Name of what is called."""
        return self._service_descriptor.name

    @overload
    async def predict_async(self, inputs: pydantic.BaseModel | Json, output_model: type[_Model]) -> _Model: ...

    @overload
    async def predict_async(
        self, inputs: pydantic.BaseModel | Json, output_model: None = None, *, output_type: type[_Result]
    ) -> _Result: ...

    @overload
    async def predict_async(self, inputs: pydantic.BaseModel | Json, output_model: None = None) -> Any: ...

    async def predict_async(
        self, inputs: pydantic.BaseModel | Json, output_model: Any = None, *, output_type: Any = None
    ) -> Any:
        """Returns the response to one request.

        Args:
            inputs: a pydantic model, or values that JSON can hold.
            output_model: a pydantic model that the response becomes; plain values without one.
            output_type: the same for any type.

        Raises:
            pydantic.ValidationError: the response is not of that type.
            Exception: as the class says.
        """
        reply = await self._callee.call(self._request(inputs))
        return self._result(reply, output_type if output_model is None else output_model)

    @overload
    def predict_sync(self, inputs: pydantic.BaseModel | Json, output_model: type[_Model]) -> _Model: ...

    @overload
    def predict_sync(
        self, inputs: pydantic.BaseModel | Json, output_model: None = None, *, output_type: type[_Result]
    ) -> _Result: ...

    @overload
    def predict_sync(self, inputs: pydantic.BaseModel | Json, output_model: None = None) -> Any: ...

    def predict_sync(
        self, inputs: pydantic.BaseModel | Json, output_model: Any = None, *, output_type: Any = None
    ) -> Any:
        """Does what `predict_async` does and blocks this thread until then. Deprecated: use `predict_async`."""
        reply = self._callee.call_blocking(self._request(inputs))
        return self._result(reply, output_type if output_model is None else output_model)

    def predict_async_stream(self, inputs: pydantic.BaseModel | Json) -> ItemStream[bytes]:
        """Returns the response bit by bit, as it comes: `async for` over it, with or without `await` before it.

        Args:
            inputs: a pydantic model, or values that JSON can hold.

        Raises:
            Exception: as the class says, when the first bit is asked for; no attempt is made after the first bit.
        """
        return ItemStream(raw_items(self._callee, self._request(inputs)))

    def _request(self, inputs: pydantic.BaseModel | Json) -> Call:
        return Call(encode_value(None, inputs, self._content_type), headers(self._content_type))

    def _result(self, reply: Reply, kind: Any) -> Any:
        value_type = None if kind is None else _value_type(kind)
        return decode_value(value_type, reply.body, result_content_type(reply, self._content_type))


def api_key_of(context_or_api_key: DeploymentContext | str) -> str:
    """Returns the key for calls to other deployments; empty where there is none: this platform may ask for none."""
    if isinstance(context_or_api_key, str):
        return context_or_api_key
    try:
        return context_or_api_key.get_baseten_api_key()
    except MissingDependencyError:
        return ""


def http_transport(descriptor: DeployedServiceDescriptor, api_key: str) -> HttpTransport:
    """Returns the way over HTTP to a deployment; its internal URL is preferred, with the host name for it."""
    authorization = {"Authorization": f"Api-Key {api_key}"} if api_key else {}
    if descriptor.internal_url is not None:
        url, host = descriptor.internal_url.gateway_run_remote_url, descriptor.internal_url.hostname
        return HttpTransport(url, {**authorization, "Host": host})
    return HttpTransport(str(descriptor.predict_url), authorization)


def headers(content_type: str) -> Mapping[str, str]:
    """Returns the headers of a call that is made now: its content type, and the ids of the request that is served."""
    ids = trace.current()
    return {"content-type": content_type, **ids} if ids else _PLAIN_HEADERS[content_type]


def result_content_type(reply: Reply, requested: str) -> str:
    """Returns what the body of a reply is: what it says, if that is binary and the call was so, too; else JSON."""
    if requested == JSON:
        return JSON
    said = reply.headers.get("content-type", requested).partition(";")[0].strip().lower()
    return said if said in _BINARY else JSON


async def raw_items(callee: Callee, call: Call) -> AsyncGenerator[bytes, None]:
    """Yields BEGUN, then the items of a stream of bytes: as the callee has sent them when they are framed."""
    async with callee.stream(call) as reply, aclosing(callee.items(reply)) as items:
        yield BEGUN
        if reply.headers.get("content-type") != frames.STREAM_TYPE:
            async for item in items:
                yield item
            return
        async for part in items:
            kind, content = frames.read_frame(part)
            if kind == frames.ITEM:
                yield content
            elif kind == frames.END:
                return
            elif kind == frames.ERROR:
                status, body = frames.read_error(content)
                raise_remote(status, body, reply.headers, callee.name)
        raise error_for(EndCode.REPLICA_LOST, reason="the stream was cut short")


async def text_items(items: AsyncGenerator[bytes, None]) -> AsyncGenerator[str, None]:
    """Yields BEGUN, then the items of a stream of text. A character may be spread over several of them."""
    decode = codecs.getincrementaldecoder("utf-8")().decode
    async with aclosing(items):
        await anext(items)
        yield BEGUN
        async for item in items:
            text = decode(item)
            if text or not item:
                yield text
        decode(b"", final=True)


@lru_cache(maxsize=1024)
def _value_type(kind: Any) -> ValueType:
    return ValueType(kind)


_PLAIN_HEADERS: Mapping[str, Mapping[str, str]] = {
    kind: MappingProxyType({"content-type": kind}) for kind in (JSON, MSGPACK, CHAIN)
}
