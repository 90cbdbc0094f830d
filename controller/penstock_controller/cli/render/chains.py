"""How chains are shown: the chainlets of a version stand together, the entrypoint first."""

from __future__ import annotations

from collections.abc import Iterable

from penstock.api.control.v1 import admin_pb2
from penstock_controller.cli.render.style import Style
from penstock_controller.cli.render.wording import printable

INDENT = "  "
"""In front of the name of a chainlet that only others call."""


def grouped(deployments: Iterable[admin_pb2.DeploymentStatus]) -> list[admin_pb2.DeploymentStatus]:
    """Returns the deployments with those of one version together; else the order stays."""
    versions: dict[str, list[admin_pb2.DeploymentStatus]] = {}
    for d in deployments:
        versions.setdefault(d.chain.chain_id if d.HasField("chain") else d.deployment_id, []).append(d)
    return [d for version in versions.values() for d in sorted(version, key=lambda d: not d.chain.is_entrypoint)]


def name_of(d: admin_pb2.DeploymentStatus, style: Style) -> str:
    """Returns "hello (entry)" or "  hello.RandInt" for chainlets, the name for a model."""
    name = printable(d.name)
    if not d.HasField("chain"):
        return name
    # A table that is sorted otherwise does not keep them together.
    return f"{name} (entry)" if d.chain.is_entrypoint else ("" if style.sort_by else INDENT) + name


def place_of(d: admin_pb2.DeploymentStatus) -> str:
    """Returns "Say, entrypoint of chain hello (hello-0a1b2c3d), calls RandInt"; empty for a model."""
    if not d.HasField("chain"):
        return ""
    role = "entrypoint of" if d.chain.is_entrypoint else "of"
    calls = f", calls {', '.join(map(printable, d.chain.dependencies))}" if d.chain.dependencies else ""
    return f"{printable(d.chain.chainlet)}, {role} chain {printable(d.chain.chain)} ({d.chain.chain_id}){calls}"
