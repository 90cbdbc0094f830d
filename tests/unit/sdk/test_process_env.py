from __future__ import annotations

from penstock.process_env import child_environment


def test_defaults_are_added() -> None:
    env = child_environment({"PATH": "/bin"})
    assert env["PATH"] == "/bin"
    assert env["MALLOC_MMAP_THRESHOLD_"] == "134217728"
    assert env["MALLOC_TRIM_THRESHOLD_"] == "268435456"
    assert env["MALLOC_TOP_PAD_"] == "16777216"
    assert env["GRPC_EXPERIMENTS"] == "-event_engine_client,-event_engine_listener"
    assert env["PYTHONSAFEPATH"] == "1"
    assert env["PYTHONUNBUFFERED"] == "1"


def test_what_the_user_set_is_kept() -> None:
    env = child_environment({"GRPC_EXPERIMENTS": "tcp_rcv_lowat", "MALLOC_TOP_PAD_": "0"})
    assert env["GRPC_EXPERIMENTS"] == "tcp_rcv_lowat"
    assert env["MALLOC_TOP_PAD_"] == "0"


def test_grpc_experiments_can_be_left_alone() -> None:
    assert "GRPC_EXPERIMENTS" not in child_environment({"PENSTOCK_GRPC_EXPERIMENTS": "off"})


def test_the_given_mapping_is_not_changed() -> None:
    base: dict[str, str] = {}
    child_environment(base)
    assert base == {}
