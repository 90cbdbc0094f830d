"""Picks what a user has named out of a status."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.api.control.v1 import admin_pb2

DEFAULT_ENVIRONMENT = "production"

NAMES_SHOWN_MAX = 10
"""Names that an error lists."""


class NotFoundError(Exception):
    """Nothing, or more than one thing, has the name; the message says what there is."""


def only(status: admin_pb2.GetStatusResponse, names: Sequence[str]) -> admin_pb2.GetStatusResponse:
    """Returns a status with the named deployments and their replicas; all of it when none is named.

    A name is that of a model, which means all of its deployments, or a deployment's id or the beginning of one. That of
    a chain means all versions with all of their chainlets, and the id of a version all of its chainlets.

    Raises:
        NotFoundError: A name fits none.
    """
    if not names:
        return status
    kept: set[str] = set()
    for name in names:
        found = {d.deployment_id for d in status.deployments if name in _names(d)}
        found = found or {d.deployment_id for d in status.deployments if _is_part(d.deployment_id, name)}
        if not found:
            raise NotFoundError(_no_deployment(status, name))
        kept |= found
    return admin_pb2.GetStatusResponse(
        controller=status.controller,
        deployments=[d for d in status.deployments if d.deployment_id in kept],
        replicas=[r for r in status.replicas if r.deployment_id in kept],
        edges=status.edges,
    )


def one(status: admin_pb2.GetStatusResponse, name: str) -> admin_pb2.DeploymentStatus:
    """Returns the deployment that a name means, by the rule of the controller: its id, an unambiguous part of it, or
    the name of its model, which means the deployment that production points to, else the only one of that name.

    Raises:
        NotFoundError: None or more than one fits.
    """
    by_id = [d for d in status.deployments if d.deployment_id == name]
    by_name = [d for d in status.deployments if d.name == name]
    in_production = [d for d in by_name if DEFAULT_ENVIRONMENT in d.environments]
    by_part = [d for d in status.deployments if _is_part(d.deployment_id, name)]
    found = by_id or in_production or by_name or by_part
    if not found:
        raise NotFoundError(_no_deployment(status, name))
    if len(found) > 1:
        ids = [d.deployment_id for d in found]
        raise NotFoundError(f"{name!r} may mean {_listed(ids)}; name one by its id")
    return found[0]


def _is_part(deployment_id: str, text: str) -> bool:
    """Whether it is a beginning, or all that follows the chain of a chainlet."""
    return bool(text) and (deployment_id.startswith(text) or deployment_id.partition(".")[2] == text)


def _names(d: admin_pb2.DeploymentStatus) -> tuple[str, ...]:
    return d.name, d.deployment_id, *((d.chain.chain, d.chain.chain_id) if d.HasField("chain") else ())


def _no_deployment(status: admin_pb2.GetStatusResponse, name: str) -> str:
    there = sorted({d.name for d in status.deployments})
    return f"no deployment {name!r}; " + (f"there are: {_listed(there)}" if there else "there is none at all")


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:NAMES_SHOWN_MAX])
    return f"{shown} and {len(names) - NAMES_SHOWN_MAX} more" if len(names) > NAMES_SHOWN_MAX else shown
