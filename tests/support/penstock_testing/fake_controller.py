"""A controller that only notes what runners tell it, and says what a test has it say. Real gRPC on a free port."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

import grpc
from google.protobuf.duration_pb2 import Duration

from penstock.api.control.v1 import control_pb2, control_pb2_grpc

Call = list[control_pb2.AttachRequest]


class FakeController(control_pb2_grpc.RunnerRegistryServiceServicer):
    """Use as a context manager: `with FakeController() as controller: … controller.address`."""

    def __init__(self, *, heartbeat_s: float = 0.2, epoch: int = 1, address: str = "127.0.0.1:0") -> None:
        self.epoch = epoch
        self.calls: list[Call] = []
        """What each Attach call brought so far."""
        self.calls_ended = 0
        """Attach calls that the runner has ended."""
        self._heartbeat_s = heartbeat_s
        self._news = threading.Condition()
        self._commands: queue.Queue[control_pb2.AttachResponse | None] = queue.Queue()
        self._server = grpc.server(ThreadPoolExecutor(max_workers=8))
        control_pb2_grpc.add_RunnerRegistryServiceServicer_to_server(self, self._server)
        port = self._server.add_insecure_port(address)
        self.address = address if address.startswith("unix:") else f"{address.rpartition(':')[0]}:{port}"

    def __enter__(self) -> FakeController:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Breaks every call and serves no more."""
        self._commands.put(None)
        self._server.stop(0).wait(5)

    def say(self, response: control_pb2.AttachResponse, *, epoch: int | None = None) -> None:
        """Sends `response` on the call that is open."""
        response.epoch = self.epoch if epoch is None else epoch
        self._commands.put(response)

    def wait_for(self, condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
        """Blocks until `condition` holds; looks at each message that comes in."""
        with self._news:
            assert self._news.wait_for(condition, timeout_s), f"not within {timeout_s} s; heard:\n{self.calls}"

    def statuses(self) -> list[control_pb2.ReplicaStatus]:
        """Returns every status so far, those in registers included."""
        found = []
        for request in self.requests():
            if request.HasField("register"):
                found.append(request.register.status)
            elif request.HasField("status"):
                found.append(request.status)
        return found

    def states(self) -> list[str]:
        """Returns the states so far, repeated ones once: STARTING, READY, …"""
        names = [control_pb2.ReplicaState.Name(status.state) for status in self.statuses()]
        short = [name.removeprefix("REPLICA_STATE_") for name in names]
        return [name for index, name in enumerate(short) if index == 0 or short[index - 1] != name]

    def state(self) -> str:
        """Returns the newest state, or "" before the first."""
        return (self.states() or [""])[-1]

    def requests(self) -> list[control_pb2.AttachRequest]:
        return [request for call in list(self.calls) for request in list(call)]

    def Attach(
        self,
        request_iterator: Iterator[control_pb2.AttachRequest],
        context: grpc.ServicerContext,
    ) -> Iterator[control_pb2.AttachResponse]:
        """Serves one runner."""
        call: Call = []
        with self._news:
            self.calls.append(call)
        reader = threading.Thread(target=self._read, args=(request_iterator, call), daemon=True)
        reader.start()
        yield control_pb2.AttachResponse(
            registered=control_pb2.Registered(lease=Duration(seconds=6), heartbeat=_duration(self._heartbeat_s)),
            epoch=self.epoch,
        )
        while reader.is_alive():
            try:
                command = self._commands.get(timeout=0.02)
            except queue.Empty:
                continue
            if command is None:
                return
            yield command

    def _read(self, requests: Iterator[control_pb2.AttachRequest], call: Call) -> None:
        try:
            for request in requests:
                with self._news:
                    call.append(request)
                    self._news.notify_all()
        except grpc.RpcError:
            # The runner is gone without ending the call.
            return
        except Exception:
            # What a server's request iterator raises when the call breaks is no RpcError.
            return
        with self._news:
            self.calls_ended += 1
            self._news.notify_all()


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromMilliseconds(int(seconds * 1000))
    return duration
