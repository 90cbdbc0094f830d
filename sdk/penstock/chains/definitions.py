"""Types, under the name that older versions of Truss Chains had for `public_types`."""

from __future__ import annotations

from penstock.chains.abc_chainlet import ABCChainlet
from penstock.chains.public_types import *  # noqa: F403  # another name of that module
from penstock.chains.public_types import __all__ as _public_types

__all__ = ["ABCChainlet", *_public_types]
