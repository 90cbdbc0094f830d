from __future__ import annotations

import structlog
from prometheus_client.parser import text_string_to_metric_families

from penstock.close_codes import EndCode
from penstock_edge.ended import close_code_label, environment_of, record_end, record_refusal, record_start
from penstock_edge.metrics import EdgeMetrics
from penstock_edge.routing import Deployment
from penstock_edge.settings import StreamSettings
from penstock_testing.client_streams import FakeClientStream, deployment

DEPLOYMENT = deployment()


def end(metrics: EdgeMetrics, close_code: int = 1000, code: EndCode = EndCode.COMPLETED) -> None:
    record_end(FakeClientStream(deployment=DEPLOYMENT, opened_at=10.0), code, close_code, 12.5, metrics)


def values(metrics: EdgeMetrics) -> dict[str, float]:
    return {
        sample.name + "".join(f" {value}" for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def test_a_stream_is_open_between_its_start_and_its_end() -> None:
    metrics = EdgeMetrics()
    gauge = "baseten_ongoing_websocket_connections echo-1 production echo"

    record_start(DEPLOYMENT, 0.1, metrics)
    assert values(metrics)[gauge] == 1
    end(metrics)

    assert values(metrics)[gauge] == 0


def test_an_end_is_counted_with_its_cause_time_and_sizes() -> None:
    metrics = EdgeMetrics()
    end(metrics, 1011, EndCode.MODEL_ERROR)

    found = values(metrics)

    assert found["penstock_streams_total 1011 MODEL_ERROR echo-1 echo"] == 1
    assert found["penstock_stream_duration_seconds_sum echo-1 echo"] == 2.5
    assert found["penstock_stream_bytes_total echo-1 in echo"] == 100
    assert found["penstock_stream_bytes_total echo-1 out echo"] == 200
    assert found["penstock_stream_messages_total echo-1 in echo"] == 3
    assert found["penstock_stream_messages_total echo-1 out echo"] == 4


def test_the_log_has_a_static_event_and_ids_and_no_payload() -> None:
    with structlog.testing.capture_logs() as logs:
        end(EdgeMetrics(), 4001, EndCode.CLIENT_CLOSED)
        record_refusal("echo", EndCode.QUEUE_FULL, 503, EdgeMetrics())

    ended, refused = logs
    assert ended == {
        "event": "stream_ended",
        "log_level": "info",
        "stream_id": "s-1",
        "deployment": "echo-1",
        "replica": "r-1",
        "code": "CLIENT_CLOSED",
        "close_code": 4001,
        "duration_ms": 2500,
        "bytes_in": 100,
        "bytes_out": 200,
        "messages_in": 3,
        "messages_out": 4,
    }
    assert refused == {
        "event": "stream_refused",
        "log_level": "info",
        "model": "echo",
        "code": "QUEUE_FULL",
        "http_status": 503,
    }


def test_codes_that_clients_choose_do_not_multiply_the_metrics() -> None:
    metrics = EdgeMetrics()
    for code in range(3000, 5000):
        end(metrics, code, EndCode.CLIENT_CLOSED)

    found = {key: value for key, value in values(metrics).items() if key.startswith("penstock_streams_total")}

    assert found == {
        "penstock_streams_total 3xxx CLIENT_CLOSED echo-1 echo": 1000,
        "penstock_streams_total 4xxx CLIENT_CLOSED echo-1 echo": 1000,
    }
    assert [close_code_label(code) for code in (1000, 1005, 1014)] == ["1000", "1005", "1014"]


def test_a_deployment_without_an_environment_is_counted_under_none() -> None:
    assert environment_of(DEPLOYMENT) == "production"
    assert environment_of(Deployment("x", "x", False, (), (), StreamSettings())) == ""
