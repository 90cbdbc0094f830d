"""When a failed transfer is tried again."""

from __future__ import annotations

import random
from dataclasses import dataclass

from penstock.weights.errors import TransferError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Waits longer after each failure in a row; a failure after new bytes counts as the first again."""

    failures_max: int = 6
    """Failures in a row without one new byte between them, after which the file is given up."""
    attempts_max: int = 200
    """In all, bytes or not."""
    delay_first_s: float = 0.5
    delay_max_s: float = 30.0
    retry_after_max_s: float = 120.0
    """A server that asks for more patience is given up."""

    def delay_s(self, error: TransferError, *, failures: int, attempts: int, jitter: float) -> float | None:
        """Returns how long to wait before the next attempt; None when there is none.

        Args:
            error: Why the last attempt failed.
            failures: In a row, this one included.
            attempts: Made so far.
            jitter: 0 to 1; keeps many clients from coming back at one moment.
        """
        if not error.retryable or failures >= self.failures_max or attempts >= self.attempts_max:
            return None
        if error.retry_after_s is not None:
            return error.retry_after_s if error.retry_after_s <= self.retry_after_max_s else None
        full = min(self.delay_first_s * 2.0 ** min(failures - 1, 20), self.delay_max_s)
        return full * (0.5 + jitter / 2)


def jitter() -> float:
    """Returns a number from 0 to 1."""
    return random.random()
