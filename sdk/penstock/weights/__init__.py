"""Files that a deployment needs beside its own folder: fetched, checked, kept in a bounded cache, put in place."""

from __future__ import annotations

from penstock.weights.errors import WeightsError
from penstock.weights.fetch import fetch_all, release
from penstock.weights.items import needs_files
from penstock.weights.placed import Placed

__all__ = ["Placed", "WeightsError", "fetch_all", "needs_files", "release"]
