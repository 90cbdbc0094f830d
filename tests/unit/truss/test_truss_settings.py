"""The key `penstock` of config.yaml."""

from __future__ import annotations

import dataclasses

import pytest

from penstock.truss import ConfigError, PenstockSettings, parse_config


def settings(content: str) -> PenstockSettings:
    return parse_config(content.encode(), name_default="m").penstock


def test_defaults_hold_when_nothing_is_set() -> None:
    assert settings("") == PenstockSettings()


def test_every_setting_is_read() -> None:
    content = """\
penstock:
  autoscaling:
    min_replica: 2
    max_replica: 5
    max_concurrency: 7
    metric: requests
    scale_down_delay: 60
    scale_down_interval: 2.5
    autoscaling_window: 30
    target_utilization_percentage: 80
    max_scale_down_rate: 25
    buffer_slots: 3
    placement: packed
    cordon_surplus: true
  limits:
    message_bytes_max: 1024
    queue_timeout: 1.5
    queue_streams_max: 3
    idle_timeout: 60
    stream_age_max: 7200
    handshake_timeout: 4
    disconnect_grace: 0.25
    cleanup_grace: 2
    predict_timeout: 30
    async_predict_timeout: 40
  keepalive: {ping_interval: 5, ping_timeout: 6}
  routes: [/ws, /speech/v1]
  compression: true
  cancel_on_disconnect: true
"""

    assert settings(content) == PenstockSettings(
        max_concurrency=7,
        min_replica=2,
        max_replica=5,
        metric="requests",
        scale_down_delay_s=60.0,
        scale_down_interval_s=2.5,
        autoscaling_window_s=30.0,
        target_utilization_percentage=80,
        max_scale_down_rate=25,
        buffer_slots=3,
        placement="packed",
        cordon_surplus=True,
        routes=("/ws", "/speech/v1"),
        message_bytes_max=1024,
        ping_interval_s=5.0,
        ping_timeout_s=6.0,
        queue_timeout_s=1.5,
        queue_streams_max=3,
        idle_timeout_s=60.0,
        stream_age_max_s=7200.0,
        handshake_timeout_s=4.0,
        disconnect_grace_s=0.25,
        cleanup_grace_s=2.0,
        compression=True,
        cancel_on_disconnect=True,
        predict_timeout_s=30.0,
        async_predict_timeout_s=40.0,
    )


def test_every_field_differs_from_its_default_in_the_test_above() -> None:
    """Keeps `test_every_setting_is_read` whole when a setting is added."""
    assert len(dataclasses.fields(PenstockSettings)) == 27


def test_pings_default_to_twenty_seconds() -> None:
    """truss.md section 1.4: null and 0 in `runtime.transport` mean the default of the server."""
    for written in ("null", "0"):
        found = settings(
            "runtime: {transport: {kind: websocket, "
            f"ping_interval_seconds: {written}, ping_timeout_seconds: {written}}}}}\n"
        )

        assert (found.ping_interval_s, found.ping_timeout_s) == (20.0, 20.0)


def test_pings_of_the_transport_hold() -> None:
    found = settings("runtime: {transport: {kind: websocket, ping_interval_seconds: 3, ping_timeout_seconds: 4.5}}\n")

    assert (found.ping_interval_s, found.ping_timeout_s) == (3.0, 4.5)


def test_pings_can_be_turned_off() -> None:
    found = settings(
        "runtime: {transport: {kind: websocket, ping_interval_seconds: 3}}\npenstock: {keepalive: {ping_interval: 0}}\n"
    )

    assert found.ping_interval_s == 0.0


def test_max_replica_follows_min_replica() -> None:
    found = settings("penstock: {autoscaling: {min_replica: 4}}\n")

    assert (found.min_replica, found.max_replica) == (4, 4)


def test_scaling_to_zero_keeps_room_for_one_replica() -> None:
    found = settings("penstock: {autoscaling: {min_replica: 0}}\n")

    assert (found.min_replica, found.max_replica) == (0, 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "penstock: {autoscaling: {min_replica: 3, max_replica: 2}}",
            "config.yaml:1:55: penstock.autoscaling.max_replica: must not be below min_replica (3), got 2",
        ),
        (
            "penstock: {autoscaling: {max_concurrency: 0}}",
            "penstock.autoscaling.max_concurrency: must be a whole number from 1 to 1000000, got number 0",
        ),
        (
            "penstock: {autoscaling: {scale_down_delay: 3601}}",
            "penstock.autoscaling.scale_down_delay: must be a number of seconds from 0 to 3600, got number 3601",
        ),
        (
            "penstock: {autoscaling: {autoscaling_window: 5}}",
            "penstock.autoscaling.autoscaling_window: must be a number of seconds from 10 to 3600, got number 5",
        ),
        (
            "penstock: {autoscaling: {target_utilization_percentage: 0}}",
            "penstock.autoscaling.target_utilization_percentage: must be a whole number from 1 to 100, got number 0",
        ),
        (
            "penstock: {autoscaling: {max_scale_down_rate: 51}}",
            "penstock.autoscaling.max_scale_down_rate: must be a whole number from 1 to 50, got number 51",
        ),
        ("penstock: {autoscaling: {placement: best}}", "penstock.autoscaling.placement: must be"),
        ("penstock: {autoscaling: {metric: cpu}}", "penstock.autoscaling.metric: must be"),
        (
            "penstock: {limits: {stream_age_max: 60}}",
            "penstock.limits.stream_age_max: must be 0 (no limit) or at least 3600 seconds, got 60",
        ),
        (
            "penstock: {limits: {message_bytes_max: 2147483648}}",
            "penstock.limits.message_bytes_max: must be a whole number from 1 to 1073741824, got number 2147483648",
        ),
        (
            "penstock: {limits: {predict_timeout: 0}}",
            "penstock.limits.predict_timeout: must be a number of seconds from 0.1 to 86400, got number 0",
        ),
        (
            "penstock: {limits: {async_predict_timeout: 86401}}",
            "penstock.limits.async_predict_timeout: must be a number of seconds from 0.1 to 86400, got number 86401",
        ),
        (
            "penstock: {cancel_on_disconnect: 1}",
            "penstock.cancel_on_disconnect: must be true or false, got number 1",
        ),
        ("penstock: {routes: [ws]}", "penstock.routes: must be paths such as /ws"),
        ("penstock: {routes: ['/a b']}", "penstock.routes: must be paths such as /ws"),
        ("penstock: {routes: [/model/x]}", "penstock.routes: '/model/x' belongs to Penstock"),
        ("penstock: {routes: [/healthz]}", "penstock.routes: '/healthz' belongs to Penstock"),
        ("penstock: {routes: [/a, /a]}", "penstock.routes: must not name a path twice"),
    ],
)
def test_bad_setting_is_refused_with_key_value_and_range(content: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(content)

    assert message in str(caught.value)


def test_unknown_setting_is_accepted_with_a_warning() -> None:
    config = parse_config(b"penstock:\n  limits: {queue_timeot: 1}\n", name_default="m")

    assert [str(warning) for warning in config.warnings] == [
        "config.yaml:2:26: penstock.limits.queue_timeot: is not known and has no effect; did you mean `queue_timeout`?"
    ]


def test_buffer_that_can_never_be_free_is_accepted_with_a_warning() -> None:
    content = b"penstock: {autoscaling: {buffer_slots: 11, max_concurrency: 5, max_replica: 2}}"
    config = parse_config(content, name_default="m")

    (warning,) = config.warnings
    assert "11 free slots can never be had: max_replica × max_concurrency is 10" in str(warning)
