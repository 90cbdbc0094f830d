"""How the streams of a deployment are treated: the snapshot's StreamSettings with every default filled in."""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration

from penstock.api.control.v1 import control_pb2
from penstock.placement import PlacementStrategy

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """Times are in seconds. Zero turns off what it bounds, where the field says so."""

    message_bytes_max: int = 100 * MIB
    """Largest message, each way."""
    ping_interval_s: float = 20.0
    """Zero: no pings."""
    ping_timeout_s: float = 20.0
    """Zero: an unanswered ping has no consequence."""
    queue_timeout_s: float = 30.0
    """Zero: a stream that finds no slot is refused at once."""
    queue_streams_max: int = 128
    """Streams that may wait for a slot at this edge process."""
    idle_timeout_s: float = 0.0
    """Zero: no limit."""
    stream_age_max_s: float = 0.0
    """Zero: no limit."""
    handshake_timeout_s: float = 10.0
    """Time for a replica to answer the opening of a stream."""
    compression: bool = False
    """Whether permessage-deflate may be negotiated."""
    placement: PlacementStrategy = PlacementStrategy.SPREAD
    predict_timeout_s: float = 1200.0
    """Time for a request until its response has begun."""
    async_predict_timeout_s: float = 3600.0
    """The same for an asynchronous request."""

    @staticmethod
    def from_message(message: control_pb2.StreamSettings) -> StreamSettings:
        """Fills in the defaults of absent fields."""
        default = _DEFAULT

        def seconds(name: str, value: Duration, fallback: float) -> float:
            return value.ToTimedelta().total_seconds() if message.HasField(name) else fallback  # type: ignore[arg-type]

        return StreamSettings(
            message_bytes_max=(
                message.message_bytes_max if message.HasField("message_bytes_max") else default.message_bytes_max
            ),
            ping_interval_s=seconds("ping_interval", message.ping_interval, default.ping_interval_s),
            ping_timeout_s=seconds("ping_timeout", message.ping_timeout, default.ping_timeout_s),
            queue_timeout_s=seconds("queue_timeout", message.queue_timeout, default.queue_timeout_s),
            queue_streams_max=(
                message.queue_streams_max if message.HasField("queue_streams_max") else default.queue_streams_max
            ),
            idle_timeout_s=seconds("idle_timeout", message.idle_timeout, default.idle_timeout_s),
            stream_age_max_s=seconds("stream_age_max", message.stream_age_max, default.stream_age_max_s),
            handshake_timeout_s=seconds("handshake_timeout", message.handshake_timeout, default.handshake_timeout_s),
            compression=message.compression if message.HasField("compression") else default.compression,
            predict_timeout_s=seconds("predict_timeout", message.predict_timeout, default.predict_timeout_s),
            async_predict_timeout_s=seconds(
                "async_predict_timeout", message.async_predict_timeout, default.async_predict_timeout_s
            ),
            placement=(
                PlacementStrategy.PACKED
                if message.placement == control_pb2.PLACEMENT_STRATEGY_PACKED
                else PlacementStrategy.SPREAD
            ),
        )


_DEFAULT = StreamSettings()
