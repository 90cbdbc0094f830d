"""An edge made of a few lines and real servers, for tests of the client: WebSocket and gRPC, with scripted models."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NoReturn, Protocol

import grpc
from google.protobuf import any_pb2
from google.rpc import status_pb2
from grpc import aio
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from penstock.api.common.v1.common_pb2 import ErrorDetail
from penstock.api.inference.v1 import inference_pb2 as pb
from penstock.api.inference.v1 import inference_pb2_grpc as pb_grpc
from penstock.close_codes import EndCode, end

Message = str | bytes


class Conversation(Protocol):
    """The model's side of a stream."""

    async def recv(self) -> Message | None:
        """The next message; None once the client has ended the stream."""
        ...

    async def send(self, message: Message) -> None: ...

    async def end(self, code: EndCode, close_code: int, reason: str) -> None: ...


Model = Callable[[Conversation], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a stream is refused with, before it is accepted."""

    code: EndCode
    retry_after: int | None = None


@dataclass(slots=True)
class Arrival:
    """How a stream was asked for."""

    path: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class FakeEdge:
    """Running servers. `arrivals` lists the streams in the order in which they came."""

    websocket_url: str
    grpc_url: str
    arrivals: list[Arrival]


async def echo(conversation: Conversation) -> None:
    """Sends back what it receives until the client is done."""
    while (message := await conversation.recv()) is not None:
        await conversation.send(message)


def closing_with(code: EndCode, close_code: int, reason: str) -> Model:
    """A model that says one thing and ends its stream."""

    async def model(conversation: Conversation) -> None:
        await conversation.send("last words")
        await conversation.end(code, close_code, reason)

    return model


@asynccontextmanager
async def fake_edge(models: dict[str, Model | Refusal]) -> AsyncIterator[FakeEdge]:
    """Serves `models` by name on loopback, over WebSocket and over gRPC; the name "" answers to /v1/websocket."""
    arrivals: list[Arrival] = []

    def refuse(connection: ServerConnection, request: Request) -> Response | None:
        model = models.get(_name_in(request.path), Refusal(EndCode.NOT_FOUND))
        if not isinstance(model, Refusal):
            return None
        row = end(model.code)
        headers = Headers({"Content-Type": "application/json", "Connection": "close"})
        if model.retry_after is not None:
            headers["Retry-After"] = str(model.retry_after)
        body = {"error": row.reason, "code": row.code, "retryable": row.retryable}
        return Response(row.http_status, "Refused", headers, json.dumps(body).encode())

    async def serve_websocket(connection: ServerConnection) -> None:
        assert connection.request is not None
        arrivals.append(Arrival(connection.request.path, dict(connection.request.headers.raw_items())))
        model = models[_name_in(connection.request.path)]
        assert not isinstance(model, Refusal)
        await model(_WebSocketConversation(connection))

    websocket = serve(
        serve_websocket,
        "127.0.0.1",
        0,
        process_request=refuse,
        max_size=None,
        compression=None,
        subprotocols=None,
        select_subprotocol=lambda connection, offered: offered[-1] if offered else None,
        close_timeout=1,
    )
    rpc = aio.server(options=[("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)])
    pb_grpc.add_InferenceServiceServicer_to_server(FakeInference(models, arrivals), rpc)
    grpc_port = rpc.add_insecure_port("127.0.0.1:0")
    await rpc.start()
    try:
        async with websocket as server:
            websocket_port = next(iter(server.sockets)).getsockname()[1]
            yield FakeEdge(f"ws://127.0.0.1:{websocket_port}", f"grpc://127.0.0.1:{grpc_port}", arrivals)
    finally:
        await rpc.stop(0)


def _name_in(path: str) -> str:
    parts = path.split("?")[0].split("/")
    return parts[2] if parts[1] == "model" else ""


class _WebSocketConversation:
    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection

    async def recv(self) -> Message | None:
        try:
            return await self._connection.recv()
        except ConnectionClosed:
            return None

    async def send(self, message: Message) -> None:
        await self._connection.send(message)

    async def end(self, code: EndCode, close_code: int, reason: str) -> None:
        await self._connection.close(close_code, reason)


_Context = aio.ServicerContext[pb.StreamRequest, pb.StreamResponse]


class _GrpcConversation:
    def __init__(self, context: _Context) -> None:
        self._context = context

    async def recv(self) -> Message | None:
        request = await self._context.read()
        if not isinstance(request, pb.StreamRequest) or request.WhichOneof("kind") != "message":
            return None
        return request.message.text if request.message.WhichOneof("payload") == "text" else request.message.binary

    async def send(self, message: Message) -> None:
        payload = pb.Message(text=message) if isinstance(message, str) else pb.Message(binary=message)
        await self._context.write(pb.StreamResponse(message=payload))

    async def end(self, code: EndCode, close_code: int, reason: str) -> None:
        await self._context.write(pb.StreamResponse(close=pb.Close(code=close_code, reason=reason)))
        if close_code != 1000:
            await _abort(self._context, code, close_code, reason)


class InferenceServicer(pb_grpc.InferenceServiceServicer):
    """What a test's own servicer starts from."""

    async def GetModel(
        self, request: pb.GetModelRequest, context: aio.ServicerContext[pb.GetModelRequest, pb.GetModelResponse]
    ) -> pb.GetModelResponse:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "")

    async def Predict(self, request: pb.PredictRequest, context: _Context) -> pb.PredictResponse:
        raise NotImplementedError

    async def PredictStream(
        self, request: pb.PredictStreamRequest, context: _Context
    ) -> AsyncIterator[pb.PredictStreamResponse]:
        raise NotImplementedError
        yield


class FakeInference(InferenceServicer):
    """The gRPC half of a fake edge."""

    def __init__(self, models: dict[str, Model | Refusal], arrivals: list[Arrival]) -> None:
        self._models = models
        self._arrivals = arrivals

    async def Stream(  # type: ignore[override]  # the generated base is written for the synchronous server
        self, requests: AsyncIterator[pb.StreamRequest], context: _Context
    ) -> None:
        metadata = {key: str(value) for key, value in context.invocation_metadata() or ()}
        model = self._models.get(metadata.get("penstock-model", ""), Refusal(EndCode.NOT_FOUND))
        if isinstance(model, Refusal):
            if model.retry_after is not None:
                context.set_trailing_metadata((("retry-after", str(model.retry_after)),))
            row = end(model.code)
            await _abort(context, model.code, row.close_code, row.reason)
        else:
            self._arrivals.append(Arrival(headers=metadata))
            await context.send_initial_metadata((("penstock-stream-id", "1"),))
            await model(_GrpcConversation(context))


async def _abort(context: _Context, code: EndCode, close_code: int, reason: str) -> NoReturn:
    row = end(code)
    status = getattr(grpc.StatusCode, row.grpc_status if row.grpc_status != "OK" else "UNKNOWN")
    detail = any_pb2.Any()
    detail.Pack(ErrorDetail(code=code, close_code=close_code, retryable=row.retryable))
    rich = status_pb2.Status(code=status.value[0], message=reason, details=[detail])
    kept = context.trailing_metadata() or ()
    context.set_trailing_metadata((*kept, ("grpc-status-details-bin", rich.SerializeToString())))
    await context.abort(status, reason)
