"""What is said of a chain that was pushed: for people, and as JSON. Pure."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass

from penstock.chains.description import EndpointKind

WEBSOCKET_KINDS = (EndpointKind.WEBSOCKET.value, EndpointKind.CONVERSATION.value)
"""Entrypoints of these kinds are talked to over a WebSocket."""


@dataclass(frozen=True, slots=True)
class PushedChainlet:
    """One chainlet."""

    name: str
    deployment_id: str
    is_entrypoint: bool
    phase: str = ""
    """At the end; empty when nobody waited."""
    message: str = ""
    """What is wrong; empty when nothing is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PushedChain:
    """A version of a chain."""

    name: str
    chain_id: str
    environment: str
    """That points to it, or will; empty for none."""
    existed: bool
    kind: str
    """EndpointKind of the entrypoint."""
    chainlets: tuple[PushedChainlet, ...]
    edge: str = ""
    """ "http://host:port" of an edge; empty when none is known."""
    has_waited: bool = False
    is_pointed_to: bool = False
    """The environment points to it now."""
    example: str = ""
    """Arguments of a request, as JSON; empty for a WebSocket."""

    @property
    def entrypoint(self) -> PushedChainlet:
        return next(each for each in self.chainlets if each.is_entrypoint)

    @property
    def url(self) -> str:
        """Where the chain is called; empty when no edge is known."""
        return chain_url(self.edge, self.name, self.kind, self.environment, self.entrypoint.deployment_id)


def chain_url(edge: str, name: str, kind: str, environment: str, deployment_id: str) -> str:
    """Returns the address of a chain's entrypoint.

    Args:
        edge: "http://host:port"; empty gives an empty address.
        kind: EndpointKind of the entrypoint.
        environment: That points to it; empty for none.
        deployment_id: Of the entrypoint, for a chain to which no environment points.
    """
    if not edge:
        return ""
    path = f"/chain/{name}"
    if not environment:
        path += f"/deployment/{deployment_id}"
    elif environment != "production":
        path += f"/environments/{environment}"
    if kind in WEBSOCKET_KINDS:
        return f"ws{edge.removeprefix('http')}{path}/websocket"
    return f"{edge}{path}/run_remote"


def call_line(name: str, environment: str, deployment_id: str) -> str:
    """Returns the command that calls a chain."""
    if not environment:
        return f"penstock call {name} --deployment {deployment_id}"
    return f"penstock call {name}" + ("" if environment == "production" else f" --environment {environment}")


def render_text(pushed: PushedChain) -> str:
    """Returns the text for people; its lines to paste stand alone."""
    lines = [f"{pushed.name}: chain {pushed.chain_id}" + (" (was there already)" if pushed.existed else "")]
    if pushed.environment:
        verb = "points to it" if pushed.is_pointed_to else "will point to it once every chainlet is ready"
        lines.append(f"  {pushed.environment} {verb}")
    width = max(len(each.name) for each in pushed.chainlets)
    for each in pushed.chainlets:
        mark = "  (entrypoint)" if each.is_entrypoint else ""
        phase = f"  {each.phase}" if each.phase else ""
        lines.append(f"  {each.name:<{width}}  {each.deployment_id}{phase}{mark}")
    lines += [f"  {pushed.url}"] if pushed.url else []
    entrypoint = pushed.entrypoint.deployment_id
    arguments = f" {shlex.quote(pushed.example)}" if pushed.example else ""
    lines += ["", "Call it:", f"  {call_line(pushed.name, pushed.environment, entrypoint)}{arguments}"]
    if not pushed.has_waited:
        lines += ["See it start:", f"  penstock logs {entrypoint} -f"]
    if not pushed.environment:
        lines += ["Take it into production:", f"  controller promote {entrypoint}"]
    return "\n".join(lines)


def render_json(pushed: PushedChain) -> str:
    """Returns one JSON object, for programs."""
    content = {
        "name": pushed.name,
        "chain_id": pushed.chain_id,
        "environment": pushed.environment or None,
        "existed": pushed.existed,
        "url": pushed.url or None,
        "kind": pushed.kind,
        "chainlets": [
            {
                "name": each.name,
                "deployment_id": each.deployment_id,
                "is_entrypoint": each.is_entrypoint,
                "phase": each.phase or None,
                "message": each.message,
            }
            for each in pushed.chainlets
        ],
    }
    return json.dumps(content, indent=2)
