"""The public gRPC interface: InferenceService over the same trunks, health and reflection."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from penstock.api.inference.v1 import inference_pb2, inference_pb2_grpc
from penstock.close_codes import TABLE, EndCode
from penstock_edge.ended import record_refusal
from penstock_edge.grpc_predict import predict, predict_stream
from penstock_edge.grpc_stream import GrpcStream, fail_call
from penstock_edge.plane import DataPlane
from penstock_edge.routing import Deployment

SERVICE = inference_pb2.DESCRIPTOR.services_by_name["InferenceService"].full_name

MESSAGE_BYTES_MAX = 1024 * 1024 * 1024 + 64 * 1024
"""Largest gRPC message: the largest limit that a deployment may have, and room for framing."""

_MODEL_KEYS = ("penstock-model", "baseten-model-id")
_ENVIRONMENT_KEYS = ("penstock-environment", "x-baseten-environment")
_DEPLOYMENT_KEYS = ("penstock-deployment", "x-baseten-deployment")


class InferenceServer:
    """The gRPC server of one edge process."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self.calls: set[GrpcStream] = set()
        """Calls that are open, or wait for a slot."""
        self._health = health.aio.HealthServicer()
        self._server: grpc.aio.Server | None = None

    async def start(self, listen: str, workers: int, tls: tuple[str, str] | None = None) -> str:
        """Binds `listen` and serves; returns the address that is bound.

        Args:
            tls: PEM files of the certificate chain and its private key.

        Raises:
            OSError: the address cannot be bound, or a file cannot be read.
        """
        options = [
            ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
            ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
            ("grpc.so_reuseport", 1 if workers > 1 else 0),
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 20_000),
            ("grpc.keepalive_permit_without_calls", 1),
        ]
        server = grpc.aio.server(options=options)
        inference_pb2_grpc.add_InferenceServiceServicer_to_server(_Servicer(self._plane, self.calls), server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
        try:
            if tls is None:
                port = server.add_insecure_port(listen)
            else:
                port = server.add_secure_port(listen, _credentials(*tls))
        except RuntimeError as error:
            raise OSError(f"cannot listen on {listen}: {error}") from error
        for name in ("", SERVICE):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        await server.start()
        self._server = server
        return f"{listen.rpartition(':')[0]}:{port}"

    async def stop(self) -> None:
        """Refuses new calls and ends those that are open."""
        await self._health.enter_graceful_shutdown()
        for call in self.calls:
            call.end(EndCode.EDGE_DRAINING)
        if self._server is not None:
            await self._server.stop(0.5)


def _credentials(chain_file: str, key_file: str) -> grpc.ServerCredentials:
    return grpc.ssl_server_credentials([(Path(key_file).read_bytes(), Path(chain_file).read_bytes())])


class _Servicer(inference_pb2_grpc.InferenceServiceServicer):
    def __init__(self, plane: DataPlane, calls: set[GrpcStream]) -> None:
        self._plane = plane
        self._calls = calls

    async def Stream(  # type: ignore[override]
        self, requests: object, context: grpc.aio.ServicerContext[Any, Any]
    ) -> None:
        """Carries one call as one stream."""
        deployment = await self._admitted(context)
        call = GrpcStream(self._plane, deployment, context)
        self._calls.add(call)
        try:
            await call.run()
        finally:
            self._calls.discard(call)

    async def GetModel(
        self, request: inference_pb2.GetModelRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> inference_pb2.GetModelResponse:
        """Describes the deployment that the metadata names."""
        deployment = await self._deployment(context)
        return inference_pb2.GetModelResponse(
            name=deployment.name,
            deployment_id=deployment.id,
            environments=deployment.environments,
            ready_replicas=self._plane.placement.ready_count(deployment.id, self._plane.now()),
        )

    async def Predict(
        self, request: inference_pb2.PredictRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> inference_pb2.PredictResponse:
        """Answers one request."""
        return await predict(self._plane, await self._admitted(context), request, context)

    async def PredictStream(
        self, request: inference_pb2.PredictStreamRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[inference_pb2.PredictStreamResponse]:
        """Answers one request item by item."""
        async for response in predict_stream(self._plane, await self._admitted(context), request, context):
            yield response

    async def _admitted(self, context: grpc.aio.ServicerContext[Any, Any]) -> Deployment:
        """The deployment that is meant; fails the call while the edge drains."""
        deployment = await self._deployment(context)
        if self._plane.is_draining:
            await fail_call(context, EndCode.EDGE_DRAINING, "", TABLE[EndCode.EDGE_DRAINING].close_code, deployment.id)
        return deployment

    async def _deployment(self, context: grpc.aio.ServicerContext[Any, Any]) -> Deployment:
        metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}

        def first(keys: tuple[str, ...]) -> str | None:
            return next((metadata[key] for key in keys if metadata.get(key)), None)

        name = first(_MODEL_KEYS)
        found = self._plane.table.by_name(
            name, environment=first(_ENVIRONMENT_KEYS), deployment_id=first(_DEPLOYMENT_KEYS)
        )
        if found is None:
            text = f"{TABLE[EndCode.NOT_FOUND].reason} Name it in the metadata '{_MODEL_KEYS[0]}'."
            record_refusal("", EndCode.NOT_FOUND, 404, self._plane.metrics)
            await fail_call(context, EndCode.NOT_FOUND, text, TABLE[EndCode.NOT_FOUND].close_code, "")
        return found
