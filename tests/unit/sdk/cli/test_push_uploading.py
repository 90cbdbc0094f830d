from __future__ import annotations

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc

from penstock.api.control.v1 import admin_pb2_grpc, artifact_pb2
from penstock.cli.push.uploading import is_stored, upload
from penstock.packing import CHUNK_BYTES
from penstock_testing.fake_admin import FakeAdmin


class Store(admin_pb2_grpc.AdminServiceServicer):
    def __init__(self) -> None:
        self.requests: list[artifact_pb2.UploadArtifactRequest] = []

    def UploadArtifact(
        self, request_iterator: Iterator[artifact_pb2.UploadArtifactRequest], context: grpc.ServicerContext
    ) -> artifact_pb2.UploadArtifactResponse:
        self.requests = list(request_iterator)
        return artifact_pb2.UploadArtifactResponse(artifact="ab")


def test_the_archive_arrives_in_pieces_behind_its_header() -> None:
    content = bytes(range(256)) * (CHUNK_BYTES // 256) * 2 + b"rest"
    store, progress = Store(), list[tuple[int, int]]()  # type: ignore[abstract]  # the calls that are not made
    with ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool)
        admin_pb2_grpc.add_AdminServiceServicer_to_server(store, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = admin_pb2_grpc.AdminServiceStub(channel)
            upload(stub, io.BytesIO(content), "ab", len(content), lambda sent, total: progress.append((sent, total)))
        server.stop(None).wait()
    header, *chunks = store.requests
    assert header.header == artifact_pb2.ArtifactHeader(artifact="ab", size_bytes=len(content))
    assert [len(item.chunk) for item in chunks] == [CHUNK_BYTES, CHUNK_BYTES, 4]
    assert b"".join(item.chunk for item in chunks) == content
    assert progress[-1] == (len(content), len(content))


def test_what_is_stored_is_told(admin: FakeAdmin, controller: str) -> None:
    admin.answer("GetArtifact", artifact_pb2.GetArtifactResponse(is_stored=True), artifact_pb2.GetArtifactResponse())
    with grpc.insecure_channel(controller) as channel:
        stub = admin_pb2_grpc.AdminServiceStub(channel)
        assert is_stored(stub, "ab")
        assert not is_stored(stub, "cd")
    assert [request.artifact for request in admin.requests["GetArtifact"]] == ["ab", "cd"]
