from __future__ import annotations

from typing import cast

from penstock.api.trunk.v1 import trunk_pb2
from penstock.close_codes import ABNORMAL, EndCode
from penstock.trunk.stream import Closing
from penstock_edge.leftover import Leftover
from penstock_edge.plane import DataPlane


class Plane:
    def __init__(self) -> None:
        self.ended: list[tuple[str, str]] = []

    def stream_ended(self, deployment_id: str, replica_id: str) -> None:
        self.ended.append((deployment_id, replica_id))


def test_the_place_is_given_back_when_the_handler_has_ended() -> None:
    plane = Plane()
    leftover = Leftover(cast(DataPlane, plane), "d", "r")

    leftover.on_accept(trunk_pb2.AcceptStream())
    leftover.on_segment(1, b"x")
    leftover.on_writable()
    assert plane.ended == []
    leftover.on_close(Closing(EndCode.CLIENT_GONE, ABNORMAL, ""))

    assert plane.ended == [("d", "r")]


def test_a_rejection_gives_the_place_back_too() -> None:
    plane = Plane()

    Leftover(cast(DataPlane, plane), "d", "r").on_reject(trunk_pb2.RejectStream(code="REPLICA_FULL"))

    assert plane.ended == [("d", "r")]
