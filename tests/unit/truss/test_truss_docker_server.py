"""`docker_server` of config.yaml: deployments that bring their own server."""

from __future__ import annotations

import pytest

from penstock.truss import ConfigError, DockerServer, parse_config

ENDPOINTS = "predict_endpoint: /p, readiness_endpoint: /r, liveness_endpoint: /l"


def test_server_is_read() -> None:
    content = f"docker_server: {{start_command: run it, server_port: 8000, {ENDPOINTS}, run_as_user_id: 1000}}"

    config = parse_config(content.encode(), name_default="m")

    assert config.docker_server == DockerServer("run it", 8000, "/p", "/r", "/l", 1000, False)
    assert config.has_docker_server
    assert config.warnings == ()


def test_image_that_starts_by_itself_needs_no_command() -> None:
    content = f"docker_server: {{server_port: 1, {ENDPOINTS}, no_build: true}}"

    server = parse_config(content.encode(), name_default="m").docker_server

    assert server is not None
    assert (server.start_command, server.no_build) == (None, True)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            "docker_server: {}",
            [
                "config.yaml:1:16: docker_server.start_command: is missing; it is needed unless no_build is true",
                "config.yaml:1:16: docker_server.server_port: is missing; it must be a whole number from 1 to 65535",
                "config.yaml:1:16: docker_server.predict_endpoint: is missing",
                "config.yaml:1:16: docker_server.readiness_endpoint: is missing",
                "config.yaml:1:16: docker_server.liveness_endpoint: is missing",
            ],
        ),
        (
            "docker_server: {start_command: x, server_port: 0, predict_endpoint: p, readiness_endpoint: /r,\n"
            "  liveness_endpoint: /l, run_as_user_id: 60000}",
            [
                "config.yaml:1:48: docker_server.server_port: must be a whole number from 1 to 65535, got number 0",
                "config.yaml:1:69: docker_server.predict_endpoint: must be a path that begins with /, got 'p'",
                "config.yaml:2:42: docker_server.run_as_user_id: must not be 0 or 60000, got 60000",
            ],
        ),
        (
            f"docker_server: {{start_command: [x], server_port: 1, {ENDPOINTS}, run_as_user_id: 0}}",
            [
                "config.yaml:1:32: docker_server.start_command: must be text, got a list",
                "config.yaml:1:138: docker_server.run_as_user_id: "
                "must be a whole number from 1 to 4294967294, got number 0",
            ],
        ),
        ("docker_server: run", ["config.yaml:1:16: docker_server: must be a mapping, got text 'run'"]),
    ],
)
def test_bad_servers_are_refused_with_their_place(content: str, expected: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(content.encode(), name_default="m")

    assert [str(problem) for problem in caught.value.problems] == expected
