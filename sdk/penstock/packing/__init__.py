"""Packs Truss directories into artifacts, which are named by their content, and unpacks them safely."""

from __future__ import annotations

from penstock.packing.archive import PackedDirectory, content_hash, pack, pack_directory
from penstock.packing.inventory import Inventory, take_inventory
from penstock.packing.limits import CHUNK_BYTES, CONTENT_BYTES_MAX, PACKED_BYTES_MAX, PackError, UnpackError
from penstock.packing.unpacking import Unpacked, unpack

__all__ = [
    "CHUNK_BYTES",
    "CONTENT_BYTES_MAX",
    "PACKED_BYTES_MAX",
    "Inventory",
    "PackError",
    "PackedDirectory",
    "UnpackError",
    "Unpacked",
    "content_hash",
    "pack",
    "pack_directory",
    "take_inventory",
    "unpack",
]
