"""An AdminService that answers what a test tells it to, on a real server."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import status_pb2
from grpc_status import rpc_status

from penstock.api.control.v1 import admin_pb2

WAIT_S = 10.0

Answer = Any
"""What a call is answered with: a message, a list of them for a stream, a grpc.StatusCode or a google.rpc.Status."""


class FakeAdmin:
    """Answers each call with what was last told for it; UNIMPLEMENTED when nothing was."""

    def __init__(self) -> None:
        self.requests: dict[str, list[Any]] = defaultdict(list)
        self._answers: dict[str, deque[Answer]] = {}
        self.ended = threading.Event()
        """Lets the streams that stay open end."""

    def answer(self, call: str, *answers: Answer) -> None:
        """Tells what the next calls are answered with; the last one goes on for all later ones.

        A stream of the last answer stays open until the caller or the server ends; the others end by themselves.
        """
        self._answers[call] = deque(answers)

    def handler(self) -> grpc.GenericRpcHandler:
        service = admin_pb2.DESCRIPTOR.services_by_name["AdminService"]
        methods = {method.name: self._method(method.name, method) for method in service.methods}
        return grpc.method_handlers_generic_handler(service.full_name, methods)

    def _method(self, name: str, method: Any) -> grpc.RpcMethodHandler[Any, Any]:
        request_type = GetMessageClass(method.input_type)
        respond: Callable[..., Any] = self._stream if method.server_streaming else self._unary
        make = grpc.unary_stream_rpc_method_handler if method.server_streaming else grpc.unary_unary_rpc_method_handler
        return make(
            lambda request, context: respond(name, request, context),
            request_deserializer=request_type.FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )

    def _next(self, name: str, request: Message, context: grpc.ServicerContext) -> Any:
        self.requests[name].append(request)
        answers = self._answers.get(name)
        if answers is None:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "")
        assert answers is not None
        answer = answers.popleft() if len(answers) > 1 else answers[0]
        if isinstance(answer, status_pb2.Status):
            context.abort_with_status(rpc_status.to_status(answer))
        if isinstance(answer, grpc.StatusCode):
            context.abort(answer, "as told")
        return answer

    def _unary(self, name: str, request: Message, context: grpc.ServicerContext) -> Any:
        return self._next(name, request, context)

    def _stream(self, name: str, request: Message, context: grpc.ServicerContext) -> Iterator[Any]:
        stays = len(self._answers.get(name, ())) == 1
        yield from self._next(name, request, context)
        if not stays:
            return
        ended = threading.Event()
        context.add_callback(ended.set)
        while not self.ended.wait(0.01) and not ended.is_set():
            pass


def refusal(code: grpc.StatusCode, message: str, *details: Message) -> status_pb2.Status:
    """Returns an error with google.rpc details."""
    packed = []
    for detail in details:
        packed.append(AnyMessage())
        packed[-1].Pack(detail)
    number: int = code.value[0]
    return status_pb2.Status(code=number, message=message, details=packed)


@contextmanager
def served(admin: FakeAdmin, address: str = "127.0.0.1:0") -> Iterator[str]:
    """Serves it, and gives the address."""
    with ThreadPoolExecutor(4) as pool:
        server = grpc.server(pool, options=[("grpc.so_reuseport", 0)])
        server.add_generic_rpc_handlers((admin.handler(),))
        port = server.add_insecure_port(address)
        server.start()
        try:
            yield address if address.startswith("unix:") else f"127.0.0.1:{port}"
        finally:
            admin.ended.set()
            stopped = server.stop(None)
            assert isinstance(stopped, threading.Event)
            stopped.wait(WAIT_S)
