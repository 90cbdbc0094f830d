"""A controller that has edges route to one runner, and asks them about their streams. Real gRPC on a free port."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

import grpc

from penstock.api.control.v1 import control_pb2, control_pb2_grpc

ANSWER_SECONDS = 20.0
EDGES_MAX = 4


class AskingController(control_pb2_grpc.EdgeSessionServiceServicer):
    """Use as a context manager; then `route` before an edge is started at `address`."""

    def __init__(self) -> None:
        self.edge_ids: list[str] = []
        """Of every session so far: a second one of an edge tells that the first has broken."""
        self._snapshot = control_pb2.Snapshot()
        self._outbox: queue.Queue[control_pb2.WatchResponse] = queue.Queue()
        self._answers: queue.Queue[control_pb2.WatchRequest] = queue.Queue()
        self._query_id = 0
        self._stopping = threading.Event()
        self._server = grpc.server(
            ThreadPoolExecutor(max_workers=EDGES_MAX), options=[("grpc.max_receive_message_length", 16 * 1024 * 1024)]
        )
        control_pb2_grpc.add_EdgeSessionServiceServicer_to_server(self, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self) -> AskingController:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._server.stop(0).wait(5)

    def route(self, name: str, runner: str, *, capacity: int) -> None:
        """Has edges serve the runner at the address `runner` as the deployment, and the model, `name`."""
        self._snapshot = control_pb2.Snapshot(
            epoch=1,
            version=1,
            deployments=[control_pb2.DeploymentRoute(deployment_id=name, name=name, environments=["production"])],
            replicas=[
                control_pb2.ReplicaRoute(
                    replica_id="r1",
                    deployment_id=name,
                    address=runner,
                    state=control_pb2.REPLICA_STATE_READY,
                    stream_capacity=capacity,
                )
            ],
        )

    def list_streams(self, **query: Any) -> control_pb2.OpenStreamList:
        """Asks the edge that is connected, and waits for its answer."""
        self._query_id += 1
        asked = control_pb2.ListOpenStreams(query_id=self._query_id, **query)
        answer = self._ask(control_pb2.WatchResponse(list_open_streams=asked)).open_stream_list
        assert answer.query_id == self._query_id
        return answer

    def end_streams(self, stream_ids: list[str], close_code: int = 0, reason: str = "") -> list[str]:
        """Has the edge end streams, and returns those that it has ended."""
        self._query_id += 1
        order = control_pb2.EndOpenStreams(
            query_id=self._query_id, stream_ids=stream_ids, close_code=close_code, reason=reason
        )
        answer = self._ask(control_pb2.WatchResponse(end_open_streams=order)).ended_streams
        assert answer.query_id == self._query_id
        return list(answer.stream_ids)

    def _ask(self, question: control_pb2.WatchResponse) -> control_pb2.WatchRequest:
        self._outbox.put(question)
        return self._answers.get(timeout=ANSWER_SECONDS)

    def Watch(
        self, request_iterator: Iterator[control_pb2.WatchRequest], context: grpc.ServicerContext
    ) -> Iterator[control_pb2.WatchResponse]:
        """Serves one edge: the snapshot at once and at every heartbeat, and the questions."""
        self.edge_ids.append(next(request_iterator).subscribe.edge_id)
        reader = threading.Thread(target=self._read, args=(request_iterator,), daemon=True)
        reader.start()
        while reader.is_alive() and not self._stopping.is_set():
            yield control_pb2.WatchResponse(snapshot=self._snapshot)
            try:
                yield self._outbox.get(timeout=0.2)
            except queue.Empty:
                continue

    def _read(self, requests: Iterator[control_pb2.WatchRequest]) -> None:
        try:
            for request in requests:
                if not request.HasField("status"):
                    self._answers.put(request)
        except Exception:
            # What a server's request iterator raises when the call breaks is no RpcError.
            return
