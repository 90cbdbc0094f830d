"""`docker_server` of config.yaml: a deployment that brings its own server (truss.md section 3)."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.truss.section import Section

RESERVED_USERS = (0, 60000)
"""User ids that Truss refuses: root and its own user."""


@dataclass(frozen=True, slots=True)
class DockerServer:
    """How the server of the deployment is started and where it answers."""

    start_command: str | None
    """None only with `no_build`: the image starts by itself."""
    server_port: int
    predict_endpoint: str
    readiness_endpoint: str
    liveness_endpoint: str
    run_as_user_id: int | None = None
    no_build: bool = False


def read_docker_server(top: Section) -> DockerServer | None:
    """Reads `docker_server`; None when absent."""
    section = top.section("docker_server")
    if not isinstance(top.peek("docker_server"), dict):
        return None
    no_build = section.boolean("no_build", False)
    start_command = section.optional_text("start_command")
    if start_command is None and not no_build and not section.has("start_command"):
        section.refuse("start_command", "is missing; it is needed unless no_build is true")
    server = DockerServer(
        start_command=start_command,
        server_port=section.required_integer("server_port", low=1, high=65535),
        predict_endpoint=_endpoint(section, "predict_endpoint"),
        readiness_endpoint=_endpoint(section, "readiness_endpoint"),
        liveness_endpoint=_endpoint(section, "liveness_endpoint"),
        run_as_user_id=_user_id(section),
        no_build=no_build,
    )
    section.warn_unknown()
    return server


def _endpoint(section: Section, key: str) -> str:
    endpoint = section.required_text(key)
    if endpoint and not endpoint.startswith("/"):
        section.refuse(key, f"must be a path that begins with /, got {endpoint!r}")
    return endpoint


def _user_id(section: Section) -> int | None:
    user_id = section.optional_integer("run_as_user_id", low=1, high=2**32 - 2)
    if user_id in RESERVED_USERS:
        section.refuse("run_as_user_id", f"must not be {' or '.join(map(str, RESERVED_USERS))}, got {user_id}")
    return user_id
