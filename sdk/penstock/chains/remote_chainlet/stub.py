"""The base class of stubs."""

from __future__ import annotations

from penstock.chains.remote.stub import StubBase

__all__ = ["StubBase"]
