"""Finds deployments and replicas by what operators write: an id, a part of one, or the name of a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from penstock_controller.errors import AmbiguousNameError, NotFoundError
from penstock_controller.records import Deployment

PRODUCTION = "production"

T = TypeVar("T")

NAMES_SHOWN = 10
"""Names in an error message."""


def find_deployment(text: str, deployments: Iterable[Deployment]) -> Deployment:
    """Returns the deployment that is meant: by id, by name (that of production, else the only one), by the beginning
    of its id, or by the id of a chainlet's without its chain.

    Raises:
        NotFoundError: There is none.
        AmbiguousNameError: There are several.
    """
    known = list(deployments)
    for deployment in known:
        if deployment.deployment_id == text:
            return deployment
    named = [d for d in known if d.name == text]
    for deployment in named:
        if PRODUCTION in deployment.environments:
            return deployment
    live = [d for d in named if not d.retired] or named
    found = live or [d for d in known if _is_part(d.deployment_id, text)]
    return _only(text, found, [d.deployment_id for d in found], "deployment", sorted({d.name for d in known}))


def find_replicas(text: str, owners: Mapping[str, str], deployments: Iterable[Deployment]) -> list[str]:
    """Returns the replica that is meant, or all replicas of the deployment that is meant.

    Args:
        owners: every replica, with its deployment.

    Raises:
        NotFoundError: There is none.
        AmbiguousNameError: There are several.
    """
    if text in owners:
        return [text]
    try:
        deployment = find_deployment(text, deployments)
    except NotFoundError:
        found = [r for r in owners if text and (r.startswith(text) or r.endswith(text))]
        return [_only(text, found, found, "replica", sorted(owners))]
    return [r for r, owner in owners.items() if owner == deployment.deployment_id]


def _is_part(deployment_id: str, text: str) -> bool:
    return bool(text) and (deployment_id.startswith(text) or deployment_id.partition(".")[2] == text)


def _only(text: str, found: Sequence[T], ids: Sequence[str], noun: str, known: Sequence[str]) -> T:
    if len(found) == 1:
        return found[0]
    if found:
        raise AmbiguousNameError(f"{text!r} may mean {_listed(ids)}; say which {noun} by its id")
    there = f"there are: {_listed(known)}" if known else f"there is no {noun} at all"
    raise NotFoundError(f"no {noun} {text!r}; {there}")


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:NAMES_SHOWN])
    return shown if len(names) <= NAMES_SHOWN else f"{shown} and {len(names) - NAMES_SHOWN} more"
