"""Exit statuses of the `controller` command."""

from __future__ import annotations

OK = 0
FAILED = 1
"""The command could not be done; for `status`: the controller cannot be reached."""
USAGE = 2
DEGRADED = 3
"""Shown, but not everything is healthy (`status --check`)."""
NOT_FOUND = 4
"""What was named does not exist; with `status --check`: nothing serves."""
TIMED_OUT = 124
"""`wait` gave up."""
INTERRUPTED = 130
