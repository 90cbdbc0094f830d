"""The models of tests/conformance/models behind one platform, and plain clients to ask them over HTTP and gRPC.

The clients are those of the standard library and of grpc, so that nothing of ours stands on their side.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

import grpc
from grpc_status import rpc_status

from penstock.api.inference.v1 import inference_pb2, inference_pb2_grpc
from penstock_testing.platform import Platform
from penstock_testing.source_tree import ROOT

MODELS = ROOT / "tests" / "conformance" / "models"

ANSWER_SECONDS = 30.0
"""How long one answer may take on a busy machine."""

JSON = "application/json"
MSGPACK = "application/octet-stream"


def model_folders() -> list[Path]:
    """Every Truss of tests/conformance/models."""
    return sorted(config.parent for config in MODELS.glob("*/config.yaml"))


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response."""

    status: int
    headers: Message
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        """The error code that Truss gives in a header."""
        return self.headers.get("X-BASETEN-ERROR-CODE")

    @property
    def source(self) -> str | None:
        return self.headers.get("X-BASETEN-ERROR-SOURCE")

    @property
    def error(self) -> Any:
        """What stands under the only key of an error's body."""
        content = self.json()
        assert list(content) == ["error"], content
        return content["error"]


class Streamed:
    """A response that is read as it comes."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Message = response.headers

    def chunk(self) -> bytes:
        """The next chunk as the edge framed it (a part of it, when it is large); b"" at the end.

        Raises:
            http.client.IncompleteRead: the response was cut.
        """
        return self._response.read1()

    def rest(self) -> list[bytes]:
        return list(iter(self.chunk, b""))


class ModelDoor:
    """One address of an edge, below which models are reached."""

    def __init__(self, address: str, model: str = "", *, host: str | None = None) -> None:
        self.address = address
        self.model = model
        self._host = host

    def path(self, endpoint: str) -> str:
        """`endpoint` as it is when it starts with "/", else below the model's own path."""
        return endpoint if endpoint.startswith("/") else f"/model/{self.model}/{endpoint}"

    def call(
        self,
        value: Any = None,
        *,
        body: bytes | None = None,
        endpoint: str = "predict",
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Sends `body`, or `value` as JSON, and takes the whole answer."""
        with self.stream(value, body=body, endpoint=endpoint, method=method, headers=headers) as streamed:
            return Answer(streamed.status, streamed.headers, b"".join(streamed.rest()))

    def predict(self, value: Any) -> Any:
        """What `predict` returned, out of its JSON."""
        answer = self.call(value)
        assert answer.status == 200, (answer.status, answer.body)
        return answer.json()

    def get(self, endpoint: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self.call(body=b"", endpoint=endpoint, method="GET", headers=headers)

    @contextmanager
    def stream(
        self,
        value: Any = None,
        *,
        body: bytes | None = None,
        endpoint: str = "predict",
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[Streamed]:
        """Sends as `call` does and gives the answer once its head is there. Leaving the block leaves the answer."""
        sent = {"Content-Type": JSON, **({"Host": self._host} if self._host else {}), **(headers or {})}
        connection = http.client.HTTPConnection(self.address, timeout=ANSWER_SECONDS)
        try:
            data = json.dumps(value).encode() if body is None else body
            connection.request(method, self.path(endpoint), data, sent)
            yield Streamed(connection.getresponse())
        finally:
            connection.close()

    def asked(self, value: Any) -> http.client.HTTPConnection:
        """Sends a request and returns the connection, for a test that closes it without an answer."""
        connection = http.client.HTTPConnection(self.address, timeout=ANSWER_SECONDS)
        connection.request("POST", self.path("predict"), json.dumps(value).encode(), {"Content-Type": JSON})
        return connection

    def together(self, *values: Any) -> list[Any]:
        """What `predict` returns for `values` that are asked at the same time."""
        with ThreadPoolExecutor(len(values)) as threads:
            return [future.result() for future in [threads.submit(self.predict, value) for value in values]]


class GrpcDoor:
    """The gRPC address of an edge, for one model."""

    def __init__(self, platform: Platform, model: str) -> None:
        self._address = platform.grpc
        self._metadata = (("penstock-model", model),)

    def predict(self, body: bytes, content_type: str = "", path: str = "") -> inference_pb2.PredictResponse:
        request = inference_pb2.PredictRequest(body=body, content_type=content_type, path=path)
        with grpc.insecure_channel(self._address) as channel:
            stub = inference_pb2_grpc.InferenceServiceStub(channel)
            return stub.Predict(request, metadata=self._metadata, timeout=ANSWER_SECONDS)

    def predict_stream(self, body: bytes) -> list[inference_pb2.PredictStreamResponse]:
        request = inference_pb2.PredictStreamRequest(body=body)
        with grpc.insecure_channel(self._address) as channel:
            stub = inference_pb2_grpc.InferenceServiceStub(channel)
            return list(stub.PredictStream(request, metadata=self._metadata, timeout=ANSWER_SECONDS))


def error_body(error: grpc.RpcError) -> inference_pb2.ErrorBody:
    """What the model answered, out of the details of a failed call."""
    assert isinstance(error, grpc.Call)
    status = rpc_status.from_call(error)
    assert status is not None
    body = inference_pb2.ErrorBody()
    assert [detail for detail in status.details if detail.Unpack(body)]
    return body
