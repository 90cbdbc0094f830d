"""Our own settings of a deployment: what stands in config.yaml under the key `penstock`."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.truss.section import Section

MIB = 1024 * 1024
TIME_MAX_S = 7 * 24 * 3600.0
"""Upper end of every time limit: longer than any stream that was asked for, far below what Duration can hold."""
STREAM_AGE_MIN_S = 3600.0
"""A stream lives at least an hour (truss.md section 1.6); a shorter age limit is refused."""
CALL_TIME_MAX_S = 24 * 3600.0
"""Upper end of the time for one call of predict."""
SCALING_TIME_MAX_S = 3600.0
"""Upper end of the delays and windows of scaling, as at Baseten (control_plane.md section 1.1)."""
METRICS = ("streams", "requests")
PLACEMENTS = ("spread", "packed")
RESERVED_ROUTES = ("/healthz", "/readyz", "/metrics", "/v1", "/model", "/chain")
"""Paths of the edge's own; a deployment can claim neither them nor anything below them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PenstockSettings:
    """How a deployment is scaled and how its streams are treated. Times are seconds."""

    max_concurrency: int = 1000
    """Slots of one replica, 1 to 1,000,000. Small for models that fill a GPU; the default bounds memory only."""
    min_replica: int = 0
    """Replicas that always run, 0 to 10,000."""
    max_replica: int = 1
    """Most replicas, 1 to 10,000, not below min_replica."""
    metric: str = "streams"
    """What replicas are counted by: "streams" or "requests"."""
    scale_down_delay_s: float = 900.0
    """Time for which a replica must be idle before it goes, 0 to 3600."""
    scale_down_interval_s: float = 10.0
    """Shortest time between two replicas that go, 0 to 3600."""
    autoscaling_window_s: float = 60.0
    """Time over which requests are averaged, 10 to 3600."""
    target_utilization_percentage: int = 70
    """Wanted share of the slots that requests use, 1 to 100."""
    max_scale_down_rate: int = 50
    """Most of the surplus that goes at once when requests get fewer, in percent, 1 to 50."""
    buffer_slots: int = 0
    """Free slots that are kept ready, 0 to 1,000,000."""
    placement: str = "spread"
    """Where a new stream goes: "spread" to the replica with the fewest, or "packed" to the one with the most."""
    cordon_surplus: bool = False
    """Whether a replica that the streams do not need becomes the last choice, so that it empties."""
    routes: tuple[str, ...] = ()
    """Extra paths that lead to the deployment, for example "/ws"."""
    message_bytes_max: int = 100 * MIB
    """Largest message each way, 1 byte to 1 GiB (truss.md section 1.5)."""
    ping_interval_s: float = 20.0
    """Time between pings to the client; 0 turns pings off."""
    ping_timeout_s: float = 20.0
    """Time for the answer to a ping; 0 waits without end."""
    queue_timeout_s: float = 30.0
    """Longest wait for a slot; 0 does not wait."""
    queue_streams_max: int = 128
    """Streams that may wait per edge process."""
    idle_timeout_s: float = 0.0
    """Time without a message after which a stream is closed; 0 means no limit."""
    stream_age_max_s: float = 0.0
    """Age at which a stream is closed, at least an hour; 0 means no limit."""
    handshake_timeout_s: float = 10.0
    """Time for a replica to answer the opening of a stream."""
    disconnect_grace_s: float = 0.5
    """Time a handler has to return by itself after its client left, before it is cancelled. Half a second, so that
    handlers of a lost edge are cancelled within one."""
    cleanup_grace_s: float = 10.0
    """Time a cancelled handler has for its cleanup before its slot is given on and the stream forgotten."""
    predict_timeout_s: float = 1200.0
    """Longest time for one call of predict, 0.1 to 86,400 (truss.md section 5)."""
    async_predict_timeout_s: float = 3600.0
    """Longest time for one asynchronous call of predict, 0.1 to 86,400."""
    cancel_on_disconnect: bool = False
    """Whether a call of predict is cancelled when its client has gone. Truss never does that by itself."""
    compression: bool = False
    """Whether permessage-deflate may be negotiated."""


def read_settings(
    penstock: Section, *, transport_ping_interval_s: float, transport_ping_timeout_s: float
) -> PenstockSettings:
    """Reads the section `penstock`; pings that it does not set come from `runtime.transport`."""
    autoscaling = penstock.section("autoscaling")
    limits = penstock.section("limits")
    keepalive = penstock.section("keepalive")
    default = PenstockSettings()
    min_replica = autoscaling.integer("min_replica", default.min_replica, low=0, high=10_000)
    max_replica = autoscaling.integer("max_replica", max(1, min_replica), low=1, high=10_000)
    if max_replica < min_replica:
        autoscaling.refuse("max_replica", f"must not be below min_replica ({min_replica}), got {max_replica}")
    max_concurrency = autoscaling.integer("max_concurrency", default.max_concurrency, low=1, high=1_000_000)
    buffer_slots = autoscaling.integer("buffer_slots", default.buffer_slots, low=0, high=1_000_000)
    if buffer_slots > max_replica * max_concurrency:
        slots = f"max_replica × max_concurrency is {max_replica * max_concurrency}"
        autoscaling.warn("buffer_slots", f"{buffer_slots} free slots can never be had: {slots}")
    settings = PenstockSettings(
        max_concurrency=max_concurrency,
        min_replica=min_replica,
        max_replica=max(max_replica, min_replica),
        metric=autoscaling.choice("metric", default.metric, METRICS),
        scale_down_delay_s=_hour(autoscaling, "scale_down_delay", default.scale_down_delay_s),
        scale_down_interval_s=_hour(autoscaling, "scale_down_interval", default.scale_down_interval_s),
        autoscaling_window_s=_hour(autoscaling, "autoscaling_window", default.autoscaling_window_s, low=10.0),
        target_utilization_percentage=autoscaling.integer(
            "target_utilization_percentage", default.target_utilization_percentage, low=1, high=100
        ),
        max_scale_down_rate=autoscaling.integer("max_scale_down_rate", default.max_scale_down_rate, low=1, high=50),
        buffer_slots=buffer_slots,
        placement=autoscaling.choice("placement", default.placement, PLACEMENTS),
        cordon_surplus=autoscaling.boolean("cordon_surplus", default.cordon_surplus),
        routes=_routes(penstock),
        message_bytes_max=limits.integer("message_bytes_max", default.message_bytes_max, low=1, high=1024 * MIB),
        ping_interval_s=_seconds(keepalive, "ping_interval", transport_ping_interval_s),
        ping_timeout_s=_seconds(keepalive, "ping_timeout", transport_ping_timeout_s),
        queue_timeout_s=_seconds(limits, "queue_timeout", default.queue_timeout_s),
        queue_streams_max=limits.integer("queue_streams_max", default.queue_streams_max, low=0, high=100_000),
        idle_timeout_s=_seconds(limits, "idle_timeout", default.idle_timeout_s),
        stream_age_max_s=_stream_age(limits, default.stream_age_max_s),
        handshake_timeout_s=_seconds(limits, "handshake_timeout", default.handshake_timeout_s, low=0.1),
        disconnect_grace_s=_seconds(limits, "disconnect_grace", default.disconnect_grace_s),
        cleanup_grace_s=_seconds(limits, "cleanup_grace", default.cleanup_grace_s),
        predict_timeout_s=_call_time(limits, "predict_timeout", default.predict_timeout_s),
        async_predict_timeout_s=_call_time(limits, "async_predict_timeout", default.async_predict_timeout_s),
        cancel_on_disconnect=penstock.boolean("cancel_on_disconnect", default.cancel_on_disconnect),
        compression=penstock.boolean("compression", default.compression),
    )
    for section in (penstock, autoscaling, limits, keepalive):
        section.warn_unknown()
    return settings


def _seconds(section: Section, key: str, default: float, *, low: float = 0.0) -> float:
    value = section.seconds(key, default, low=low, high=TIME_MAX_S)
    return default if value is None else value


def _hour(section: Section, key: str, default: float, *, low: float = 0.0) -> float:
    value = section.seconds(key, default, low=low, high=SCALING_TIME_MAX_S)
    return default if value is None else value


def _call_time(limits: Section, key: str, default: float) -> float:
    value = limits.seconds(key, default, low=0.1, high=CALL_TIME_MAX_S)
    return default if value is None else value


def _stream_age(limits: Section, default: float) -> float:
    age = _seconds(limits, "stream_age_max", default)
    if 0 < age < STREAM_AGE_MIN_S:
        limits.refuse("stream_age_max", f"must be 0 (no limit) or at least {STREAM_AGE_MIN_S:g} seconds, got {age:g}")
    return age


def _routes(penstock: Section) -> tuple[str, ...]:
    routes = penstock.texts("routes")
    for route in routes:
        if not route.startswith("/") or not route.isprintable() or any(char in route for char in " ?#%"):
            penstock.refuse("routes", f"must be paths such as /ws, without spaces, ?, # and %, got {route!r}")
        elif any(route == own or route.startswith(own + "/") for own in RESERVED_ROUTES):
            penstock.refuse("routes", f"{route!r} belongs to Penstock; reserved are {', '.join(RESERVED_ROUTES)}")
    if len(set(routes)) < len(routes):
        penstock.refuse("routes", "must not name a path twice")
    return routes
