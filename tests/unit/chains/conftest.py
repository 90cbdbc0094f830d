"""Fixtures of the tests of chains."""

from __future__ import annotations

from penstock_testing.chain_kit import clean_imports, define, fresh_registry
from penstock_testing.chainlet_serving import install, serve

__all__ = ["clean_imports", "define", "fresh_registry", "install", "serve"]
