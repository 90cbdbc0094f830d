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
_LATENCY_BUCKETS = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
    30,
    60,
    300,
    1200,
    float("inf"),
)
_QUEUE_TIME_BUCKETS = (0.01, 0.1, 1, 5, 15, 60, 300, 900, 3600, 14400, 86400, float("inf"))
_SIZE_BUCKETS = (100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, float("inf"))


class EdgeMetrics:
    """All metrics, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._request_series: dict[tuple[str, str, str], RequestSeries] = {}
        """As many as the library keeps series anyway."""
        registry = self._registry
        self.open_connections = Gauge(
            "baseten_ongoing_websocket_connections",
            "Streams that are open now.",
            ("model_name", "deployment_id", "environment"),
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.concurrent_requests = Gauge(
            "baseten_concurrent_requests",
            "Requests that are served now.",
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

        self.async_queue_size = Gauge(
            "baseten_async_queue_size",
            "Asynchronous requests that are queued now.",
            ("model_name", "deployment_id"),
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.async_queue_time = Histogram(
            "baseten_time_in_async_queue_seconds",
            "How long asynchronous requests were queued before they had a slot.",
            _LABELS,
            registry=registry,
            buckets=_QUEUE_TIME_BUCKETS,
        )
        self.async_ended = Counter(
            "penstock_async_requests_total",
            "Asynchronous requests that are over, by their last status.",
            (*_LABELS, "status"),
            registry=registry,
        )
        self.webhooks = Counter(
            "penstock_webhooks_total",
            "Webhooks that are over, by whether they were taken: SUCCEEDED or FAILED.",
            (*_LABELS, "status"),
            registry=registry,
        )
        self.requests = Counter(
            "baseten_inference_requests_total",
            "Requests that had a slot and are over, by the HTTP status of their response.",
            (*_LABELS, "status_code"),
            registry=registry,
        )
        self.response_time = Histogram(
            "baseten_end_to_end_response_time_seconds",
            "From the request to the end of its response.",
            _LABELS,
            registry=registry,
            buckets=_LATENCY_BUCKETS,
        )
        self.first_byte = Histogram(
            "baseten_time_to_first_byte_seconds",
            "From the request to the beginning of its response.",
            _LABELS,
            registry=registry,
            buckets=_LATENCY_BUCKETS,
        )
        self.request_size = Histogram(
            "baseten_request_size_bytes",
            "Size of the bodies of requests.",
            _LABELS,
            registry=registry,
            buckets=_SIZE_BUCKETS,
        )
        self.response_size = Histogram(
            "baseten_response_size_bytes",
            "Size of responses.",
            _LABELS,
            registry=registry,
            buckets=_SIZE_BUCKETS,
        )

    def request_series(self, model: str, deployment: str, environment: str) -> RequestSeries:
        """Returns the series that requests for one deployment are counted in."""
        key = (model, deployment, environment)
        series = self._request_series.get(key)
        if series is None:
            series = self._request_series[key] = RequestSeries(self, *key)
        return series

    def render(self) -> bytes:
        """Returns the exposition text, of all workers."""
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
            return generate_latest(registry)
        return generate_latest(self._registry)


class RequestSeries:
    """What requests for one deployment are counted in. The library's `labels` would be called eight times a request."""

    def __init__(self, metrics: EdgeMetrics, model: str, deployment: str, environment: str) -> None:
        labels = (model, deployment)
        self._labels = labels
        self._requests = metrics.requests
        self._by_status: dict[int, Counter] = {}
        self._response_time = metrics.response_time.labels(*labels)
        self._first_byte = metrics.first_byte.labels(*labels)
        self._request_size = metrics.request_size.labels(*labels)
        self._response_size = metrics.response_size.labels(*labels)
        self._admission = metrics.admission.labels(*labels)
        self._concurrent = metrics.concurrent_requests.labels(*labels, environment)

    def began(self, waited_s: float) -> None:
        """Counts a request that got its slot."""
        self._concurrent.inc()
        self._admission.observe(waited_s)

    def ended(self, *, status: int, duration_s: float, head_s: float | None, bytes_in: int, bytes_out: int) -> None:
        """Counts a request that is over; `head_s` is None when its response never began."""
        self._concurrent.dec()
        counter = self._by_status.get(status)
        if counter is None:
            counter = self._by_status[status] = self._requests.labels(*self._labels, str(status))
        counter.inc()
        self._response_time.observe(duration_s)
        if head_s is not None:
            self._first_byte.observe(head_s)
        self._request_size.observe(bytes_in)
        self._response_size.observe(bytes_out)
