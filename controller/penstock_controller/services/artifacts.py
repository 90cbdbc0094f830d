"""The calls of AdminService that bring a packed Truss directory to the controller."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from penstock.api.control.v1 import artifact_pb2
from penstock.packing import CHUNK_BYTES
from penstock_controller.errors import ControllerError, InvalidRequestError
from penstock_controller.services.reading import AdminReads, Context
from penstock_controller.services.refusal import refuse

CHUNK_S = 60.0
"""Time for the next chunk: an upload that stands still holds one of few places."""


class AdminArtifacts(AdminReads):
    """GetArtifact and UploadArtifact."""

    async def GetArtifact(
        self, request: artifact_pb2.GetArtifactRequest, context: Context
    ) -> artifact_pb2.GetArtifactResponse:
        try:
            size = self._parts.artifacts.size(request.artifact)
        except ControllerError as error:
            await refuse(context, error)
        return artifact_pb2.GetArtifactResponse(is_stored=size is not None, size_bytes=size or 0)

    async def UploadArtifact(
        self, request_iterator: AsyncIterator[artifact_pb2.UploadArtifactRequest], context: Context
    ) -> artifact_pb2.UploadArtifactResponse:
        try:
            artifact = await self._upload(request_iterator)
        except ControllerError as error:
            await refuse(context, error)
        return artifact_pb2.UploadArtifactResponse(artifact=artifact)

    async def _upload(self, requests: AsyncIterator[artifact_pb2.UploadArtifactRequest]) -> str:
        store = self._parts.artifacts
        first = await _next(requests)
        if first is None or first.WhichOneof("kind") != "header":
            raise InvalidRequestError("header: must come first")
        header = first.header
        if store.size(header.artifact) is not None:
            return header.artifact
        with await store.begin(header.artifact, header.size_bytes) as upload:
            while (request := await _next(requests)) is not None:
                if request.WhichOneof("kind") != "chunk":
                    raise InvalidRequestError("chunk: must follow the header")
                if len(request.chunk) > CHUNK_BYTES:
                    raise InvalidRequestError(f"chunk: at most {CHUNK_BYTES} bytes, got {len(request.chunk)}")
                await upload.add(request.chunk)
            await upload.finish()
        return header.artifact


async def _next(
    requests: AsyncIterator[artifact_pb2.UploadArtifactRequest],
) -> artifact_pb2.UploadArtifactRequest | None:
    """Returns the next request; None at the end."""
    try:
        async with asyncio.timeout(CHUNK_S):
            return await anext(requests, None)
    except TimeoutError:
        raise InvalidRequestError(f"chunk: nothing came for {CHUNK_S:g} s") from None
