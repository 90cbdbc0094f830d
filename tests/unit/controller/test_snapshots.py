from __future__ import annotations

import asyncio

from penstock_testing.controller_parts import deployment
from penstock_testing.virtual_time import run_virtual  # placeholder

