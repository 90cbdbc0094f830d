from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.protobuf.any_pb2 import Any
from google.rpc import status_pb2
from grpc_status import rpc_status

from penstock.api.inference.v1 import inference_pb2, inference_pb2_grpc
from penstock.cli import exit_status
from penstock.cli.call.grpc_predict import grpc_predict
from penstock.cli.call.payload import Body
from penstock.cli.call.printer import Printer
from penstock.cli.call.target import Target
from penstock.cli.command_error import CommandError


class Model(inference_pb2_grpc.InferenceServiceServicer):
    def __init__(self) -> None:
        self.metadata: dict[str, str] = {}
        self.fails: status_pb2.Status | None = None

    def Predict(
        self, request: inference_pb2.PredictRequest, context: grpc.ServicerContext
    ) -> inference_pb2.PredictResponse:
        self.metadata = {str(key): str(value) for key, value in context.invocation_metadata()}
        if self.fails is not None:
            context.abort_with_status(rpc_status.to_status(self.fails))
        return inference_pb2.PredictResponse(body=request.body, content_type=request.content_type, status=200)

    def PredictStream(
        self, request: inference_pb2.PredictStreamRequest, context: grpc.ServicerContext
    ) -> Iterator[inference_pb2.PredictStreamResponse]:
        for byte in request.body:
            yield inference_pb2.PredictStreamResponse(body=bytes([byte]))


@pytest.fixture
def model() -> Model:
    return Model()  # type: ignore[abstract]  # the calls that are not made


@pytest.fixture
def target(model: Model) -> Iterator[Target]:
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        inference_pb2_grpc.add_InferenceServiceServicer_to_server(model, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        address = f"127.0.0.1:{port}"
        yield Target(name="m", environment="qa", deployment=None, kind="predict", http="", grpc=address)
        server.stop(None).wait()


def ask(target: Target, *, stream: bool = False) -> None:
    with Printer(None, indents=False) as printer:
        body = Body(b"[1]", "application/json")
        grpc_predict(target, body, [("X-Key", "k")], printer, timeout_s=10.0, stream=stream)


def test_the_model_is_named_and_the_answer_shown(
    model: Model, target: Target, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    ask(target)
    assert capsysbinary.readouterr().out == b"[1]"
    assert model.metadata["penstock-model"] == "m"
    assert model.metadata["penstock-environment"] == "qa"
    assert model.metadata["x-key"] == "k"


def test_items_are_shown_one_by_one(target: Target, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    ask(target, stream=True)
    assert capsysbinary.readouterr().out == b"[1]"


def test_what_the_model_answered_is_told(model: Model, target: Target) -> None:
    detail = Any()
    detail.Pack(inference_pb2.ErrorBody(status=404, body=b'{"error": "no such voice"}'))
    model.fails = status_pb2.Status(code=grpc.StatusCode.NOT_FOUND.value[0], message="m", details=[detail])
    with pytest.raises(CommandError, match=r"^gRPC NOT_FOUND: no such voice$") as failed:
        ask(target)
    assert failed.value.status == exit_status.NOT_FOUND


def test_an_edge_that_is_gone_is_told(target: Target) -> None:
    gone = Target(name="m", environment=None, deployment=None, kind="predict", http="", grpc="127.0.0.1:1")
    with pytest.raises(CommandError, match="gRPC UNAVAILABLE"):
        ask(gone)
