"""Names of chains in addresses. Pure."""

from __future__ import annotations

import re

from penstock.chains.errors import ChainsUsageError

CHAIN_NAME_MAX = 40
CHAIN_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
"""What the controller takes."""


def chain_slug(name: str) -> str:
    """Makes the name under which a chain is served: "My Chain Name" becomes "my-chain-name".

    Raises:
        ChainsUsageError: Nothing is left of it, or too much.
    """
    slug = re.sub(r"[^a-z0-9_-]+", "-", name.strip().lower()).strip("-_")
    if not CHAIN_NAME.fullmatch(slug):
        raise ChainsUsageError(
            f"the chain's name must give 1 to {CHAIN_NAME_MAX} of a-z, 0-9, '-' and '_', got {name!r}; choose another "
            "with --name, or in @chains.mark_entrypoint"
        )
    return slug


def deployment_name(chain: str, chainlet: str, *, is_entrypoint: bool) -> str:
    """Returns the name of a chainlet's deployment: the chain's, or "CHAIN.CHAINLET"."""
    return chain if is_entrypoint else f"{chain}.{chainlet}"
