"""HTTP at the predict path through a real edge and runner, by a client that says things its own way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock_testing.static_platform import StaticPlatform

MIB = 1024 * 1024


from .conftest import PREDICT, RawHttp, Scenario, chunk, connected, memory_bytes, post, seen  # noqa
