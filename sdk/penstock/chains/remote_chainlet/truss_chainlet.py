"""Handles of chainlets that are Truss directories."""

from __future__ import annotations

from penstock.chains.truss_chainlet import CallArgs, TrussHandle, get_baseten_chain_api_key, get_service_urls

__all__ = ["CallArgs", "TrussHandle", "get_baseten_chain_api_key", "get_service_urls"]
