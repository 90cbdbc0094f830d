"""Models and chains share one set of names. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from penstock_controller.errors import ConflictError
from penstock_controller.records import Deployment


def check_free(name: str, deployments: Iterable[Deployment], *, is_chain: bool) -> None:
    """Raises ConflictError when a chain is to be named like a model that is there, or a model like a chain."""
    asked, there = ("chain", "model") if is_chain else ("model", "chain")
    for known in deployments:
        if known.name == name and not known.retired and (known.chain is not None) != is_chain:
            raise ConflictError(
                f"name: {name!r} is a {there} here ({known.deployment_id}); give the {asked} another name"
            )
