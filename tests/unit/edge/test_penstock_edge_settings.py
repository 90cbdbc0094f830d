from __future__ import annotations

from google.protobuf.duration_pb2 import Duration

from penstock.api.control.v1 import control_pb2
from penstock.placement import PlacementStrategy
from penstock.truss.settings import PenstockSettings
from penstock_edge.settings import StreamSettings


def test_absent_fields_get_the_defaults() -> None:
    assert StreamSettings.from_message(control_pb2.StreamSettings()) == StreamSettings()


def test_defaults_are_those_of_the_design() -> None:
    settings = StreamSettings()

    assert settings.message_bytes_max == 100 * 1024 * 1024
    assert (settings.ping_interval_s, settings.ping_timeout_s) == (20, 20)
    assert settings.compression is False


def test_defaults_are_those_of_the_configuration_file() -> None:
    mine, theirs = StreamSettings(), PenstockSettings()

    for name in set(StreamSettings.__slots__) - {"placement"}:
        assert getattr(mine, name) == getattr(theirs, name), name


def test_zero_is_a_value_and_not_absent() -> None:
    message = control_pb2.StreamSettings(
        ping_interval=Duration(), ping_timeout=Duration(), queue_timeout=Duration(), queue_streams_max=0
    )

    settings = StreamSettings.from_message(message)

    assert (settings.ping_interval_s, settings.ping_timeout_s, settings.queue_timeout_s) == (0, 0, 0)
    assert settings.queue_streams_max == 0


def test_every_field_is_taken() -> None:
    message = control_pb2.StreamSettings(
        message_bytes_max=1,
        ping_interval=Duration(seconds=2),
        ping_timeout=Duration(nanos=500_000_000),
        queue_timeout=Duration(seconds=4),
        queue_streams_max=5,
        idle_timeout=Duration(seconds=6),
        stream_age_max=Duration(seconds=7),
        handshake_timeout=Duration(seconds=8),
        compression=True,
        placement=control_pb2.PLACEMENT_STRATEGY_PACKED,
    )

    assert StreamSettings.from_message(message) == StreamSettings(
        1, 2, 0.5, 4, 5, 6, 7, 8, True, PlacementStrategy.PACKED
    )
