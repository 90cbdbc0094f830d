"""`runtime` of config.yaml (truss.md section 3)."""

from __future__ import annotations

import pytest

from penstock.truss import ConfigError, TrussConfig, parse_config


def read(runtime: str) -> TrussConfig:
    return parse_config(f"runtime: {runtime}".encode(), name_default="m")


def test_every_key_is_read() -> None:
    config = read(
        "{predict_concurrency: 256, streaming_read_timeout: 0.5, enable_tracing_data: true, enable_debug_logs: true, "
        "num_workers: 1}"
    )

    assert (config.predict_concurrency, config.streaming_read_timeout_s) == (256, 0.5)
    assert (config.enable_tracing_data, config.enable_debug_logs) == (True, True)
    assert config.warnings == ()


@pytest.mark.parametrize(
    ("runtime", "message"),
    [
        ("{predict_concurrency: 0}", "predict_concurrency: must be a whole number from 1 to 1000000, got number 0"),
        ("{predict_concurrency: cpu_count}", "predict_concurrency: must be a whole number from 1 to 1000000"),
        ("{streaming_read_timeout: 0}", "streaming_read_timeout: must be a number of seconds from 0.1 to 604800"),
        ("{enable_debug_logs: 1}", "enable_debug_logs: must be true or false, got number 1"),
        ("{enable_tracing_data: 'on'}", "enable_tracing_data: must be true or false, got text 'on'"),
        ("{num_workers: 2}", "num_workers: must be 1, got number 2"),
    ],
)
def test_bad_values_are_refused(runtime: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(runtime)

    assert message in str(caught.value)
