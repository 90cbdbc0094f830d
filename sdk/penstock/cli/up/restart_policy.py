"""When a child process that died is started again, and when that is given up."""

from __future__ import annotations

from collections.abc import Sequence

DEATHS_MAX = 5
"""Deaths within WINDOW_S after which the child is given up: something is wrong that a restart does not mend."""
WINDOW_S = 60.0
DELAY_FIRST_S = 0.1
"""Short: a child that died once is to be back before anyone's lease runs out."""
DELAY_MAX_S = 5.0


def restart_delay(deaths: Sequence[float], now: float) -> float | None:
    """Returns the seconds to wait before the next start; None to give up.

    Args:
        deaths: Monotonic times of all deaths so far, the last one included.
        now: Monotonic time.
    """
    recent = sum(1 for death in deaths if now - death < WINDOW_S)
    if recent >= DEATHS_MAX:
        return None
    return float(min(DELAY_MAX_S, DELAY_FIRST_S * 4.0 ** max(0, recent - 1)))
