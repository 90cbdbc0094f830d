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
    endpoints: tuple[str, ...] = ("websocket",)
    """What it can be called by."""
    example: str = "{}"
    """Input of a request, as JSON."""

    @property
    def has_websocket(self) -> bool:
        return "websocket" in self.endpoints or not self.endpoints

    @property
    def has_requests(self) -> bool:
        return any(name != "websocket" for name in self.endpoints)


@dataclass(frozen=True, slots=True)
class ServedChainlet:
    """One chainlet of a chain that is ready."""

    name: str
    deployment_id: str
    replicas: int
    is_entrypoint: bool
    note: str = ""
    """What its replicas have to say; empty when nothing."""


@dataclass(frozen=True, slots=True)
class ServedChain:
    """One chain that is ready."""

    name: str
    chain_id: str
    is_websocket: bool
    """Clients talk to its entrypoint over a WebSocket, instead of asking it."""
    chainlets: tuple[ServedChainlet, ...]
    """The entrypoint is the last."""
    example: str = "{}"
    """Arguments of a request, as JSON."""


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
    chains: tuple[ServedChain, ...] = ()

    watched: bool = False
    """What is saved is taken over."""

    def websocket_url(self, model: ServedModel) -> str:
        return f"ws://{self.http.reachable}/model/{model.name}/websocket"

    def predict_url(self, model: ServedModel) -> str:
        return f"http://{self.http.reachable}/model/{model.name}/predict"

    def chain_url(self, chain: ServedChain) -> str:
        scheme, end = ("ws", "websocket") if chain.is_websocket else ("http", "run_remote")
        return f"{scheme}://{self.http.reachable}/chain/{chain.name}/{end}"

    def chain_calls(self, chain: ServedChain) -> list[str]:
        """Returns the address of the chain and lines to paste."""
        url = self.chain_url(chain)
        if chain.is_websocket:
            return [url, f"websocat {url}", f"{self.commands.python} -m websockets {url}"]
        return [url, f"curl -s {url} -d {shlex.quote(chain.example)}"]

    @property
    def has_websocket(self) -> bool:
        return any(model.has_websocket for model in self.models) or any(chain.is_websocket for chain in self.chains)

    def calls(self, model: ServedModel) -> list[str]:
        """Returns the address of the model and lines to paste, for each way to call it."""
        lines: list[str] = []
        if model.has_websocket:
            url = self.websocket_url(model)
            lines += [url, f"websocat {url}", f"{self.commands.python} -m websockets {url}"]
        if model.has_requests:
            url = self.predict_url(model)
            lines += [url, f"curl -s {url} -d {shlex.quote(model.example)}"]
        return lines


def render_text(report: Report) -> str:
    """Returns the text for people; its lines to paste stand alone."""
    lines = [f"Ready in {report.seconds:.1f} s.", ""]
    for model in report.models:
        lines += [
            f"  {model.name}  ({_replicas(model.replicas)}, deployment {model.deployment_id})",
            *([f"    Note: {model.note}"] if model.note else []),
            *(f"    {line}" for line in report.calls(model)),
            "",
        ]
    for chain in report.chains:
        lines += [*_chain_lines(chain), *(f"    {line}" for line in report.chain_calls(chain)), ""]
    facts = [("HTTP", f"http://{report.http.reachable}")]
    if report.grpc is not None:
        facts.append(("gRPC", str(report.grpc.reachable)))
    facts.append(("Status", f"{report.commands.controller} status --state-dir {shlex.quote(report.state_dir)}"))
    if not report.commands.has_websocat and report.has_websocket:
        facts.append(("Note", "websocat is not installed here; the python lines need nothing more"))
    lines += [f"  {name:<8}{value}" for name, value in facts]
    if report.watched:
        lines += [
            "",
            "What you save is live at once: code by itself, config.yaml and requirements as a new deployment.",
        ]
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
        "chains": [_chain(report, chain) for chain in report.chains],
    }
    return json.dumps(content, indent=2) + "\n"


def _chain_lines(chain: ServedChain) -> list[str]:
    count = f"{len(chain.chainlets)} chainlet" + ("" if len(chain.chainlets) == 1 else "s")
    lines = [f"  {chain.name}  (chain of {count}, version {chain.chain_id})"]
    width = max(len(each.name) for each in chain.chainlets)
    for each in reversed(chain.chainlets):
        mark = ", entrypoint" if each.is_entrypoint else ""
        lines.append(f"    {each.name:<{width}}  ({_replicas(each.replicas)}, deployment {each.deployment_id}{mark})")
        lines += [f"      Note: {each.note}"] if each.note else []
    return lines


def _replicas(count: int) -> str:
    return f"{count} replica" + ("" if count == 1 else "s")


def _chain(report: Report, chain: ServedChain) -> dict[str, Any]:
    return {
        "name": chain.name,
        "id": chain.chain_id,
        "url": report.chain_url(chain),
        "chainlets": [
            {"name": each.name, "id": each.deployment_id, "replicas": each.replicas, "entrypoint": each.is_entrypoint}
            for each in chain.chainlets
        ],
    }


def _deployments(report: Report, models: Sequence[ServedModel]) -> list[dict[str, Any]]:
    return [
        {
            "name": model.name,
            "id": model.deployment_id,
            "websocket": report.websocket_url(model),
            "predict": report.predict_url(model),
            "endpoints": list(model.endpoints),
            "replicas": model.replicas,
        }
        for model in models
    ]
