"""Exit statuses of the `penstock` command."""

from __future__ import annotations

OK = 0
FAILED = 1
"""The command could not be done; the controller or the edge cannot be reached; the model answered with an error."""
USAGE = 2
"""Wrong use: the command line, a folder or its config.yaml."""
NOT_FOUND = 4
"""What was named does not exist."""
TIMED_OUT = 124
"""The time of --timeout is over."""
INTERRUPTED = 130
