"""What `penstock push` says at its end: for people, and as JSON. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """A deployment that was pushed."""

    name: str
    deployment_id: str
    environment: str
    """That points to it, or will; empty for none."""
    artifact: str
    """SHA-256 of the packed directory in hex."""
    was_uploaded: bool
    """False: the controller had the artifact."""
    existed: bool
    """A deployment of this content was there."""
    phase: str = ""
    """At the end; empty when nobody waited."""
    message: str = ""
    """What is wrong; empty when nothing is."""
    edge: str = ""
    """ "http://host:port" of an edge; empty when none is known."""
    endpoints: tuple[str, ...] = ()
    """What the model can be called by; empty when no replica has loaded it."""

    @property
    def base_path(self) -> str:
        """The path of the deployment at an edge; its own one when no environment will point to it."""
        if not self.environment:
            return f"/model/{self.name}/deployment/{self.deployment_id}"
        if self.environment == "production":
            return f"/model/{self.name}"
        return f"/model/{self.name}/environments/{self.environment}"

    def urls(self) -> dict[str, str]:
        """Returns the addresses by which it can be called; both kinds while it is not known which it takes."""
        if not self.edge:
            return {}
        http = self.edge + self.base_path
        websocket = f"ws{http.removeprefix('http')}/websocket"
        known = self.endpoints or ("predict", "websocket")
        found = {"predict": f"{http}/predict", "websocket": websocket}
        return {kind: url for kind, url in found.items() if kind in known}


def render_text(pushed: Pushed) -> str:
    """Returns the text for people; its lines to paste stand alone."""
    lines = [f"{pushed.name}: deployment {pushed.deployment_id}" + (" (was there already)" if pushed.existed else "")]
    named = f" --deployment {pushed.deployment_id}"
    if pushed.environment:
        named = "" if pushed.environment == "production" else f" --environment {pushed.environment}"
        verb = "points to it" if pushed.phase else "will point to it once a replica is ready"
        lines.append(f"  {pushed.environment} {verb}")
    lines += [f"  {url}" for url in pushed.urls().values()]
    lines += ["", "Call it:", f"  penstock call {pushed.name}{named}"]
    if not pushed.phase:
        lines += ["See it start:", f"  penstock logs {pushed.deployment_id} -f"]
    if not pushed.environment:
        lines += ["Take it into production:", f"  controller promote {pushed.deployment_id}"]
    return "\n".join(lines)


def render_json(pushed: Pushed) -> str:
    """Returns one JSON object, for programs."""
    content = {
        "name": pushed.name,
        "deployment_id": pushed.deployment_id,
        "environment": pushed.environment or None,
        "artifact": pushed.artifact,
        "uploaded": pushed.was_uploaded,
        "existed": pushed.existed,
        "phase": pushed.phase or None,
        "message": pushed.message,
        "urls": pushed.urls(),
    }
    return json.dumps(content, indent=2)
