"""What `penstock up` says when everything is ready: the text for people, and the ready file."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from penstock.cli.up.host_port import HostPort


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One model that is ready."""

    name: str
    deployment_id: str
    replicas: int
    note: str = ""
    """What its replicas have to say; empty when nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellCommands:
    """Beginnings of lines to paste, quoted for a shell."""

    python: str = "python"
    """The interpreter that has our libraries."""
    controller: str = "controller"
    has_websocat: bool = True
    """Whether `websocat`, which is not ours, is installed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything a user or a script needs to know."""

    http: HostPort
    """Where the edge listens."""
    grpc: HostPort | None
    """Where it serves gRPC; None when it does not."""
    controller_address: str
    state_dir: str
    models: tuple[ServedModel, ...]
    seconds: float
    """From the call until ready."""
    commands: ShellCommands

    def websocket_url(self, model: ServedModel) -> str:
        return f"ws://{self.http.reachable}/model/{model.name}/websocket"


def render_text(report: Report) -> str:
    """Returns the text for people; its lines to paste stand alone."""
    lines = [f"Ready in {report.seconds:.1f} s.", ""]
    for model in report.models:
        url = report.websocket_url(model)
        count = f"{model.replicas} replica" + ("" if model.replicas == 1 else "s")
        lines += [
            f"  {model.name}  ({count}, deployment {model.deployment_id})",
            *([f"    Note: {model.note}"] if model.note else []),
            f"    {url}",
            f"    websocat {url}",
            f"    {report.commands.python} -m websockets {url}",
            "",
        ]
    facts = [("HTTP", f"http://{report.http.reachable}")]
    if report.grpc is not None:
        facts.append(("gRPC", str(report.grpc.reachable)))
    facts.append(("Status", f"{report.commands.controller} status --state-dir {shlex.quote(report.state_dir)}"))
    if not report.commands.has_websocat:
        facts.append(("Note", "websocat is not installed here; the python lines need nothing more"))
    lines += [f"  {name:<8}{value}" for name, value in facts]
    lines += ["", "Press Ctrl-C to stop."]
    return "\n".join(lines)


def render_json(report: Report) -> str:
    """Returns the content of the ready file."""
    content: dict[str, Any] = {
        "edge": {
            "url": f"ws://{report.http.reachable}",
            "http": f"http://{report.http.reachable}",
            "grpc": str(report.grpc.reachable) if report.grpc is not None else None,
        },
        "controller": {"address": report.controller_address, "state_dir": report.state_dir},
        "deployments": _deployments(report, report.models),
    }
    return json.dumps(content, indent=2) + "\n"


def _deployments(report: Report, models: Sequence[ServedModel]) -> list[dict[str, Any]]:
    return [
        {
            "name": model.name,
            "id": model.deployment_id,
            "websocket": report.websocket_url(model),
            "replicas": model.replicas,
        }
        for model in models
    ]
