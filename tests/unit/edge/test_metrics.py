from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from penstock_edge.metrics import EdgeMetrics


def samples(metrics: EdgeMetrics) -> dict[str, float]:
    found = {}
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def test_known_name_of_open_connections_is_kept() -> None:
    metrics = EdgeMetrics()
    metrics.open_connections.labels("echo", "echo-1", "production").inc()

    key = "baseten_ongoing_websocket_connections{deployment_id=echo-1,environment=production,model_name=echo}"
    assert samples(metrics)[key] == 1


KNOWN_ELSEWHERE = {
    "baseten_ongoing_websocket_connections",
    "baseten_concurrent_requests",
    "baseten_inference_requests",
    "baseten_end_to_end_response_time_seconds",
    "baseten_time_to_first_byte_seconds",
    "baseten_request_size_bytes",
    "baseten_response_size_bytes",
    "baseten_async_queue_size",
    "baseten_time_in_async_queue_seconds",
}
"""Names of facts/truss.md section 1.7."""


def test_our_names_have_our_prefix_and_every_metric_says_what_it_is() -> None:
    families = list(text_string_to_metric_families(EdgeMetrics().render().decode()))

    assert len(families) >= 9
    for family in families:
        assert family.name.startswith("penstock_") or family.name in KNOWN_ELSEWHERE
        assert family.documentation


def test_two_edges_of_one_process_share_nothing() -> None:
    one, other = EdgeMetrics(), EdgeMetrics()
    one.refused.labels("echo", "NOT_FOUND", "404").inc()

    assert "penstock_streams_refused_total{code=NOT_FOUND,http_status=404,model=echo}" in samples(one)
    assert not any("refused_total" in key for key in samples(other))


def test_workers_are_added_up(tmp_path: Path) -> None:
    """prometheus_client decides at import, so this needs processes of its own."""
    program = (
        "from penstock_edge.metrics import EdgeMetrics\n"
        "metrics = EdgeMetrics()\n"
        "metrics.refused.labels('echo', 'NOT_FOUND', '404').inc()\n"
        "print(metrics.render().decode())"
    )
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    outputs = [
        subprocess.run(
            [sys.executable, "-P", "-c", program], env=environment, check=True, capture_output=True, text=True
        ).stdout
        for _ in range(2)
    ]

    assert 'penstock_streams_refused_total{code="NOT_FOUND",http_status="404",model="echo"} 2.0' in outputs[1]
