"""config.yaml (truss.md section 3)."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.truss import ConfigError, Transport, load_config, parse_config


def problems(content: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_config(content.encode(), name_default="m")
    return [str(problem) for problem in caught.value.problems]


def test_defaults_are_those_of_truss(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("")

    config = load_config(tmp_path)

    assert config.model_name == tmp_path.name
    assert (config.model_module_dir, config.model_class_filename, config.model_class_name) == (
        "model",
        "model.py",
        "Model",
    )
    assert (config.data_dir, config.bundled_packages_dir, config.external_package_dirs) == ("data", "packages", ())
    assert (config.environment_variables, config.secrets, config.raw, config.gpus) == ({}, {}, {}, 0)
    assert config.transport == Transport("http", None, None)
    assert (config.predict_concurrency, config.startup_timeout_s, config.has_docker_server) == (1, 1800.0, False)
    assert config.warnings == ()


def test_known_keys_are_read_and_unknown_ones_survive() -> None:
    content = """\
model_name: My Model
model_module_dir: src/inner
model_class_filename: thing.py
model_class_name: Thing
data_dir: blobs
bundled_packages_dir: libs
external_package_dirs: [../shared]
environment_variables: {DEBUG: true, LEVEL: 3, NAME: x, EMPTY: null}
secrets: {token: null, other: default}
runtime:
  predict_concurrency: 4
  health_checks: {startup_threshold_seconds: 60}
  transport: {kind: websocket, ping_interval_seconds: 1.5, ping_timeout_seconds: null}
  from_the_future: 1
docker_server: {start_command: run}
from_the_future: {a: [1]}
"""

    config = parse_config(content.encode(), name_default="m")

    assert config.model_name == "My Model"
    assert (config.model_module_dir, config.model_class_filename, config.model_class_name) == (
        "src/inner",
        "thing.py",
        "Thing",
    )
    assert (config.data_dir, config.bundled_packages_dir, config.external_package_dirs) == (
        "blobs",
        "libs",
        ("../shared",),
    )
    assert config.environment_variables == {"DEBUG": "true", "LEVEL": "3", "NAME": "x", "EMPTY": ""}
    assert config.secrets == {"token": None, "other": "default"}
    assert config.transport == Transport("websocket", 1.5, None)
    assert (config.predict_concurrency, config.startup_timeout_s, config.has_docker_server) == (4, 60.0, True)
    assert config.raw["from_the_future"] == {"a": [1]}
    assert config.raw["runtime"]["from_the_future"] == 1


def test_legacy_websocket_flag_means_the_websocket_transport() -> None:
    config = parse_config(b"runtime: {is_websocket_endpoint: true}\n", name_default="m")

    assert config.transport.kind == "websocket"
    assert "is deprecated" in config.warnings[0].message


def test_legacy_websocket_flag_may_not_contradict_the_transport() -> None:
    assert problems("runtime: {is_websocket_endpoint: true, transport: {kind: http}}\n") == [
        "config.yaml:1:34: runtime.is_websocket_endpoint: contradicts transport.kind: http"
    ]


def test_every_problem_is_listed_in_the_order_of_the_file() -> None:
    content = """\
runtime:
  transport: {kind: carrier pigeon}
  predict_concurrency: none
  health_checks: {startup_threshold_seconds: 5}
secrets: [token]
model_name: [x]
"""

    assert problems(content) == [
        "config.yaml:2:21: runtime.transport.kind: must be one of http, websocket, grpc, got text 'carrier pigeon'",
        "config.yaml:3:24: runtime.predict_concurrency: must be a whole number from 1 to 1000000, got text 'none'",
        "config.yaml:4:46: runtime.health_checks.startup_threshold_seconds: "
        "must be a number of seconds from 10 to 3000, got number 5",
        "config.yaml:5:10: secrets: must be a mapping of secret names to null or a default, got a list; "
        "write `NAME: null`",
        "config.yaml:6:13: model_name: must be text, got a list",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('model_name: "a\\nb"', "must not hold control characters"),
        ("environment_variables: {'A=B': x}", "is not a valid name and value of an environment variable"),
        ("environment_variables: {A: {b: c}}", "must be text, a number, true or false, got a mapping"),
        ("model_module_dir: ../elsewhere", "must be a path inside the Truss directory"),
    ],
)
def test_values_that_cannot_hold_are_refused(content: str, message: str) -> None:
    assert message in problems(content)[0]


def test_variables_of_the_platform_are_warned_of() -> None:
    config = parse_config(b"environment_variables: {PORT: 1}\n", name_default="m")

    assert [warning.key for warning in config.warnings] == ["environment_variables.PORT"]


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config\.yaml: not found in .*; a Truss directory holds config\.yaml and"):
        load_config(tmp_path)


def test_config_yml_gets_a_hint(tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text("model_name: x\n")

    with pytest.raises(ConfigError, match=r"config\.yml is there; rename it to config\.yaml"):
        load_config(tmp_path)


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no folder"):
        load_config(tmp_path / "nowhere")


def test_file_instead_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("")

    with pytest.raises(ConfigError, match="is not a folder; give the Truss directory"):
        load_config(tmp_path / "config.yaml")


def test_folder_named_config_yaml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").mkdir()

    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_config(tmp_path)


def test_oversized_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_bytes(b"#" * (4 * 1024 * 1024 + 1))

    with pytest.raises(ConfigError, match="at most 4194304 are read"):
        load_config(tmp_path)
