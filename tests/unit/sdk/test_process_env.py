from __future__ import annotations

from penstock.process_env import child_environment, is_platform_variable, model_variables


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


def test_variables_of_a_model_take_effect_unless_they_belong_to_penstock() -> None:
    own = {"LD_PRELOAD": "libx.so", "PYTHONPATH": "/opt/x", "CUDA_VISIBLE_DEVICES": "3", "PENSTOCKADE": "1"}

    assert model_variables({**own, "PENSTOCK_RUN_DIR": "/x", "PYTHONSAFEPATH": ""}, gpus_assigned=False) == own


def test_gpus_that_penstock_assigns_go_before_those_of_the_model() -> None:
    assert model_variables({"CUDA_VISIBLE_DEVICES": "3", "A": "1"}, gpus_assigned=True) == {"A": "1"}


def test_names_of_penstock_begin_with_its_name() -> None:
    names = ["PENSTOCK_GPUS", "PYTHONSAFEPATH", "PATH", "penstock_x"]

    assert [is_platform_variable(name) for name in names] == [True, True, False, False]
