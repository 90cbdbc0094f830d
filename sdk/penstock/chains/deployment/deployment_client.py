"""Handles of deployed chains."""

from __future__ import annotations

from penstock.chains.service import ChainService

__all__ = ["ChainService"]
