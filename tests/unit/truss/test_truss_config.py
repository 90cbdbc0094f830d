"""config.yaml (truss.md section 3)."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.truss import ConfigError, HealthChecks, Resources, Transport, load_config, parse_config


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
    assert (config.description, config.model_metadata, config.examples_filename) == ("", {}, "examples.yaml")
    assert (config.requirements, config.requirements_file, config.python_version) == ((), None, None)
    assert (config.base_image, config.system_packages, config.build_commands) == (None, (), ())
    assert (config.external_data, config.model_cache, config.weights) == ((), (), ())
    assert (config.resources, config.health_checks, config.docker_server) == (Resources(), HealthChecks(), None)
    assert config.streaming_read_timeout_s == 60.0
    assert (config.enable_tracing_data, config.enable_debug_logs) == (False, False)
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
from_the_future: {a: [1]}
description: |
  Two
  lines
model_metadata: {tags: [a], example_model_input: {x: 1}}
examples_filename: more.yaml
python_version: py312
requirements: [numpy==2.0, "git+https://example.com/x.git"]
system_packages: [ffmpeg]
build_commands: [make it]
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
    assert (config.predict_concurrency, config.startup_timeout_s, config.has_docker_server) == (4, 60.0, False)
    assert config.description == "Two\nlines\n"
    assert config.model_metadata == {"tags": ["a"], "example_model_input": {"x": 1}}
    assert (config.examples_filename, config.python_version) == ("more.yaml", "3.12")
    assert config.requirements == ("numpy==2.0", "git+https://example.com/x.git")
    assert (config.system_packages, config.build_commands) == (("ffmpeg",), ("make it",))
    assert config.raw["from_the_future"] == {"a": [1]}
    assert config.raw["runtime"]["from_the_future"] == 1


def test_unknown_keys_are_warned_of_once_with_the_nearest_known_one() -> None:
    content = b"""\
requirments: [numpy]
runtime: {predict_concurency: 2, zzz: {deep: 1}}
resources: {memry: 1Gi}
build: {servr: x}
qqq: 1
"""
    assert [str(warning) for warning in parse_config(content, name_default="m").warnings] == [
        "config.yaml:1:14: requirments: is not known and has no effect; did you mean `requirements`?",
        "config.yaml:2:31: runtime.predict_concurency: is not known and has no effect; "
        "did you mean `predict_concurrency`?",
        "config.yaml:2:39: runtime.zzz: is not known and has no effect; known keys: egress_restrictions, "
        "enable_debug_logs, enable_tracing_data, health_checks, is_websocket_endpoint, num_workers, oidc, "
        "predict_concurrency, remote_ssh, streaming_read_timeout, transport, truss_server_version_override",
        "config.yaml:3:20: resources.memry: is not known and has no effect; did you mean `memory`?",
        "config.yaml:4:16: build.servr: is not known and has no effect; "
        "known keys: arguments, model_server, no_cache, secret_to_path_mapping",
        "config.yaml:5:6: qqq: is not known and has no effect",
    ]


@pytest.mark.parametrize(
    "section",
    [
        "runtime.transport",
        "runtime.health_checks",
        "base_image",
        "build",
        "resources",
        "penstock.limits",
        "docker_server",
    ],
)
def test_unknown_keys_of_every_section_are_warned_of(section: str) -> None:
    server = "start_command: x, server_port: 1, predict_endpoint: /, readiness_endpoint: /, liveness_endpoint: /, "
    content = f"{{{server if section == 'docker_server' else ''}qqq: 1}}"
    for name in reversed(section.split(".")):
        content = f"{{{name}: {content}}}"

    (warning,) = parse_config(content.encode(), name_default="m").warnings

    assert warning.key == f"{section}.qqq"
    assert warning.message.startswith("is not known and has no effect; known keys: ")


def test_warnings_stand_in_the_order_of_the_file() -> None:
    content = b"trt_llm: {a: 1}\nspec_version: '1.0'\nmodel_name: a\npython_version: py39\nmodel_name: b\n"

    warnings = parse_config(content, name_default="m").warnings

    assert [(warning.line, warning.key) for warning in warnings] == [
        (1, "trt_llm"),
        (2, "spec_version"),
        (4, "python_version"),
        (5, "model_name"),
    ]


def test_requirements_stand_in_one_place() -> None:
    assert problems("requirements: [a]\nrequirements_file: requirements.txt\n") == [
        "config.yaml:2:20: requirements_file: stands beside requirements; write only one of the two"
    ]
    config = parse_config(b"requirements: []\nrequirements_file: ./requirements.txt\n", name_default="m")

    assert config.requirements_file == "./requirements.txt"


def test_weights_stand_in_one_place() -> None:
    content = "weights: [{source: w, mount_location: /w}]\nmodel_cache: [{repo_id: a/b}]\n"

    assert problems(content) == [
        "config.yaml:1:10: weights: stands beside model_cache, which it replaces; write only one of the two"
    ]
    assert parse_config(content.replace("[{repo_id: a/b}]", "[]").encode(), name_default="m").model_cache == ()


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
        ("requirements_file: ../requirements.txt", "must be a path inside the Truss directory"),
        ("examples_filename: /examples.yaml", "must be a path inside the Truss directory"),
        ("environment_variables: [a]", "environment_variables: must be a mapping of names to values, got a list"),
        ("model_metadata: [a]", "model_metadata: must be a mapping, got a list"),
        ("requirements: [a, null]", "requirements[1]: must be text, got null"),
        ("build_commands: ls", "build_commands: must be a list of texts, got text 'ls'"),
        ("trt_llm: x\nruntime: 3", "runtime: must be a mapping, got number 3"),
        ("build: TrussServer", "build: must be a mapping, got text 'TrussServer'"),
    ],
)
def test_values_that_cannot_hold_are_refused(content: str, message: str) -> None:
    (problem,) = problems(content)
    assert message in problem


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
