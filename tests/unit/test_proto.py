"""Rules of the interface definitions that buf does not know, or that must hold where npm is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc

from penstock.api.trunk.v1 import trunk_pb2

ROOT = Path(__file__).resolve().parents[2]
PROTO = ROOT / "proto"
FILES = sorted(path.relative_to(PROTO).as_posix() for path in PROTO.rglob("*.proto"))

# Field numbers inside descriptor.proto, which make up the paths of SourceCodeInfo.
FILE_MESSAGE, FILE_ENUM, FILE_SERVICE = 4, 5, 6
MESSAGE_FIELD, MESSAGE_NESTED, MESSAGE_ENUM = 2, 3, 4
ENUM_VALUE = 2
SERVICE_METHOD = 2


@cache
def descriptors() -> dict[str, FileDescriptorProto]:
    with TemporaryDirectory() as folder:
        out = Path(folder) / "descriptors"
        well_known = Path(protoc.__file__).parent / "_proto"
        command = ["protoc", f"-I{PROTO}", f"-I{well_known}", f"-o{out}", "--include_source_info", *FILES]
        assert protoc.main(command) == 0
        return {file.name: file for file in FileDescriptorSet.FromString(out.read_bytes()).file}


def message_elements(
    message: DescriptorProto, path: tuple[int, ...], name: str
) -> Iterator[tuple[tuple[int, ...], str]]:
    yield path, name
    for index, field in enumerate(message.field):
        yield (*path, MESSAGE_FIELD, index), f"{name}.{field.name}"
    for index, enum in enumerate(message.enum_type):
        yield (*path, MESSAGE_ENUM, index), f"{name}.{enum.name}"
        for number, value in enumerate(enum.value):
            yield (*path, MESSAGE_ENUM, index, ENUM_VALUE, number), f"{name}.{enum.name}.{value.name}"
    for index, nested in enumerate(message.nested_type):
        if not nested.options.map_entry:
            yield from message_elements(nested, (*path, MESSAGE_NESTED, index), f"{name}.{nested.name}")


def elements(file: FileDescriptorProto) -> Iterator[tuple[tuple[int, ...], str]]:
    """Yields the path and the name of everything that must be commented."""
    for index, message in enumerate(file.message_type):
        yield from message_elements(message, (FILE_MESSAGE, index), message.name)
    for index, enum in enumerate(file.enum_type):
        yield (FILE_ENUM, index), enum.name
        for number, value in enumerate(enum.value):
            yield (FILE_ENUM, index, ENUM_VALUE, number), f"{enum.name}.{value.name}"
    for index, service in enumerate(file.service):
        yield (FILE_SERVICE, index), service.name
        for number, method in enumerate(service.method):
            yield (FILE_SERVICE, index, SERVICE_METHOD, number), f"{service.name}.{method.name}"


@pytest.mark.parametrize("name", FILES)
def test_every_element_is_commented(name: str) -> None:
    file = descriptors()[name]
    commented = {
        tuple(location.path) for location in file.source_code_info.location if location.leading_comments.strip()
    }

    assert [element for path, element in elements(file) if path not in commented] == []


@pytest.mark.parametrize("name", FILES)
def test_the_package_is_the_folder(name: str) -> None:
    """So the generated imports need no rewriting (docs/adr/0001-packaging.md)."""
    assert descriptors()[name].package == Path(name).parent.as_posix().replace("/", ".")


@pytest.mark.parametrize("name", FILES)
def test_the_zero_of_every_enum_is_unspecified(name: str) -> None:
    for enum in descriptors()[name].enum_type:
        assert enum.value[0].number == 0
        assert enum.value[0].name.endswith("_UNSPECIFIED")


def test_both_directions_of_a_trunk_are_encoded_alike() -> None:
    """The same code encodes and decodes batches of both directions."""
    request = trunk_pb2.ConnectRequest.DESCRIPTOR
    response = trunk_pb2.ConnectResponse.DESCRIPTOR

    assert [(field.number, field.name, field.type) for field in request.fields] == [
        (field.number, field.name, field.type) for field in response.fields
    ]


def test_the_kind_of_an_item_fits_a_byte() -> None:
    assert all(0 <= number <= 255 for number in trunk_pb2.ItemKind.values())


def test_the_generated_code_is_current() -> None:
    # protoc finds its plugins by PATH, beside the interpreter.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    done = subprocess.run(
        [sys.executable, "-P", ROOT / "tools/generate_proto.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": path},
    )

    assert done.returncode == 0, done.stderr
