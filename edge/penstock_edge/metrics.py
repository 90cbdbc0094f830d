"""Prometheus metrics of an edge process.

Connections count in plain integers; `publish` moves what has come since into the counters, so that the hot path never
calls the library. With several workers the library's multiprocess mode adds them up (PROMETHEUS_MULTIPROC_DIR).
"""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

_DURATION_BUCKETS = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14400, float("inf"))
_WAIT_BUCKETS = (0.001, 0.005, 0.02, 0.1, 0.5, 1, 5, 15, 30, 60, float("inf"))
_LABELS = ("model", "deployment")


class EdgeMetrics:
    """All metrics, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        registry = self._registry
        self.open_connections = Gauge(
            "baseten_ongoing_websocket_connections",
            "Streams that are open now.",
            ("model_name", "deployment_id", "environment"),
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.streams = Counter(
            "penstock_streams_total",
            "Streams that ended, by the code of their end.",
            (*_LABELS, "code", "close_code"),
            registry=registry,
        )
        self.refused = Counter(
            "penstock_streams_refused_total",
            "Upgrades that were refused, by the code of the refusal.",
            ("model", "code", "http_status"),
            registry=registry,
        )
        self.duration = Histogram(
            "penstock_stream_duration_seconds",
            "How long streams lasted.",
            _LABELS,
            registry=registry,
            buckets=_DURATION_BUCKETS,
        )
        self.admission = Histogram(
            "penstock_stream_admission_seconds",
            "From the upgrade request to the slot.",
            _LABELS,
            registry=registry,
            buckets=_WAIT_BUCKETS,
        )
        self.bytes = Counter(
            "penstock_stream_bytes_total",
            "Bytes of ended streams, by direction as the client sees it.",
            (*_LABELS, "direction"),
            registry=registry,
        )
        self.messages = Counter(
            "penstock_stream_messages_total",
            "Messages of ended streams, by direction as the client sees it.",
            (*_LABELS, "direction"),
            registry=registry,
        )
        self.waiting = Gauge(
            "penstock_streams_waiting",
            "Streams that wait for a slot.",
            ("deployment",),
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.snapshot_age = Gauge(
            "penstock_control_plane_stale_seconds",
            "Time since the controller was heard last; 0 with a fixed set of runners.",
            registry=registry,
            multiprocess_mode="livemax",
        )

    def render(self) -> bytes:
        """Returns the exposition text, of all workers."""
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
            return generate_latest(registry)
        return generate_latest(self._registry)
