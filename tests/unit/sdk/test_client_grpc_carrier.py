"""What is special to streams over gRPC: metadata, size limits, statuses that are not the edge's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from grpc import aio

from penstock import Client, ClientError, EndCode, LifecycleError, PenstockError
from penstock.api.inference.v1 import inference_pb2 as pb
from penstock.api.inference.v1 import inference_pb2_grpc as pb_grpc
from penstock_testing.fake_edge import Conversation, InferenceServicer, echo, fake_edge

Context = aio.ServicerContext[pb.StreamRequest, pb.StreamResponse]


def test_names_headers_and_token_arrive_as_metadata() -> None:
    async def run() -> None:
        async with (
            fake_edge({"echo": echo}) as edge,
            Client(edge.grpc_url, token="secret") as client,
            client.stream("echo", environment="staging", headers={"X-Language": "de"}),
        ):
            pass

        metadata = edge.arrivals[0].headers
        assert metadata["penstock-model"] == "echo"
        assert metadata["penstock-environment"] == "staging"
        assert metadata["x-language"] == "de"
        assert metadata["authorization"] == "Bearer secret"

    asyncio.run(run())


@pytest.mark.parametrize("size", [5 << 20, 20 << 20])
def test_a_message_beyond_grpcs_own_limits_passes(size: int) -> None:
    async def run() -> None:
        async with (
            fake_edge({"echo": echo}) as edge,
            Client(edge.grpc_url) as client,
            client.stream("echo") as stream,
        ):
            await stream.send(b"x" * size)

            assert len(await stream.recv()) == size

    asyncio.run(run())


def test_a_message_beyond_the_clients_limit_ends_the_stream() -> None:
    async def large(conversation: Conversation) -> None:
        await conversation.send(b"x" * 200_000)
        await conversation.recv()

    async def run() -> None:
        async with (
            fake_edge({"large": large}) as edge,
            Client(edge.grpc_url, message_bytes_max=1000) as client,
            client.stream("large") as stream,
        ):
            with pytest.raises(ClientError) as caught:
                await stream.recv()

            assert (caught.value.code, stream.close_code) == (EndCode.MESSAGE_TOO_BIG, 1009)

    asyncio.run(run())


class _Servicer(InferenceServicer):
    """Accepts, and then does what `metadata["penstock-model"]` says."""

    async def Stream(  # type: ignore[override]  # the generated base is written for the synchronous server
        self, requests: AsyncIterator[pb.StreamRequest], context: Context
    ) -> None:
        metadata = {key: str(value) for key, value in context.invocation_metadata() or ()}
        await context.send_initial_metadata((("penstock-stream-id", "1"),))
        match metadata["penstock-model"]:
            case "raises":
                raise RuntimeError("a defect of the server")
            case "unset":
                await context.write(pb.StreamResponse())
                await context.write(pb.StreamResponse(message=pb.Message()))
            case "mangled":
                context.set_trailing_metadata((("grpc-status-details-bin", b"\xff\xff"),))
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "mangled")
        await context.read()


def play(model: str) -> tuple[list[str | bytes], PenstockError | None]:
    """Everything that a client receives from `model`, and the error at the end."""

    async def run() -> tuple[list[str | bytes], PenstockError | None]:
        server = aio.server()
        pb_grpc.add_InferenceServiceServicer_to_server(_Servicer(), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        received: list[str | bytes] = []
        try:
            async with Client(f"grpc://127.0.0.1:{port}") as client, client.stream(model) as stream:
                received.append(await stream.recv())
        except PenstockError as error:
            # From recv, or from opening the stream when the end of the call comes together with its beginning.
            return received, error
        finally:
            await server.stop(0)
        return received, None

    return asyncio.run(run())


def test_a_defect_of_the_server_is_an_internal_error() -> None:
    received, error = play("raises")

    assert received == []
    assert error is not None
    assert error.code is EndCode.INTERNAL


def test_an_unset_payload_is_an_empty_binary_message() -> None:
    assert play("unset") == ([b""], None)


def test_details_that_cannot_be_read_leave_the_plain_status() -> None:
    _, error = play("mangled")

    assert error is not None
    assert (error.code, error.reason) == (EndCode.PROTOCOL_ERROR, "mangled")


def test_an_edge_that_dies_is_an_error_worth_another_try() -> None:
    async def run() -> None:
        server = aio.server()
        pb_grpc.add_InferenceServiceServicer_to_server(_Servicer(), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with Client(f"grpc://127.0.0.1:{port}") as client, client.stream("waits") as stream:
            stopping = asyncio.create_task(server.stop(0))
            with pytest.raises(LifecycleError) as caught:
                await stream.recv()
            await stopping

        assert caught.value.retryable

    asyncio.run(run())


def test_a_cancelled_opening_ends_the_call() -> None:
    async def run() -> None:
        cancelled = asyncio.Event()

        class Silent(InferenceServicer):
            async def Stream(  # type: ignore[override]  # as above
                self, requests: AsyncIterator[pb.StreamRequest], context: Context
            ) -> None:
                try:
                    await asyncio.Event().wait()
                finally:
                    cancelled.set()

        server = aio.server()
        pb_grpc.add_InferenceServiceServicer_to_server(Silent(), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with Client(f"grpc://127.0.0.1:{port}") as client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.stream("any").__aenter__(), 0.3)
            await asyncio.wait_for(cancelled.wait(), 5)
        await server.stop(0)

    asyncio.run(run())
