"""When a client's connection is pinged, and when it is given up. Pure.

One timer per connection is enough: `check(now)` says what is due and when to look again.
"""

from __future__ import annotations

from enum import Enum

from penstock_edge.settings import StreamSettings


class Due(Enum):
    """What has to be done now."""

    NOTHING = "nothing"
    PING = "ping"
    PING_TIMEOUT = "ping_timeout"
    IDLE_TIMEOUT = "idle_timeout"
    STREAM_TOO_OLD = "stream_too_old"


class Liveness:
    """Clocks of one connection. Set `heard` to True whenever anything is received, `message` on every message."""

    __slots__ = ("_born", "_last_message", "_ping_due", "_pinged_at", "_settings", "heard", "message")

    def __init__(self, settings: StreamSettings, now: float) -> None:
        self._settings = settings
        self._born = now
        self._last_message = now
        self._pinged_at: float | None = None
        self._ping_due = now + settings.ping_interval_s if settings.ping_interval_s > 0 else None
        self.heard = False
        """Something was received since the last look."""
        self.message = False
        """A message passed, either way, since the last look."""

    def next_check(self) -> float | None:
        """When to call `check` again; None when nothing is bounded."""
        settings = self._settings
        times = []
        if self._pinged_at is not None and settings.ping_timeout_s > 0:
            times.append(self._pinged_at + settings.ping_timeout_s)
        elif self._ping_due is not None:
            times.append(self._ping_due)
        if settings.idle_timeout_s > 0:
            times.append(self._last_message + settings.idle_timeout_s)
        if settings.stream_age_max_s > 0:
            times.append(self._born + settings.stream_age_max_s)
        return min(times, default=None)

    def silent_for(self, now: float) -> float:
        """Returns seconds since the last message either way, or less: a message is timed by the look that finds it.

        This is a look. So the answer falls short of the truth by no more than the time between two checks (the ping
        interval, as a rule), or since the last question.
        """
        self._note_message(now)
        return now - self._last_message

    def check(self, now: float, *, is_reading: bool) -> Due:
        """Says what is due. After PING, send one; after the others, close the connection.

        Args:
            is_reading: whether the socket is read; while it is not (the model is slow), a pong cannot be heard, and
                silence proves nothing.
        """
        settings = self._settings
        self._note_message(now)
        if self.heard or not is_reading:
            # Any sign of life answers a ping: behind a large message the pong comes late.
            self.heard = False
            if self._pinged_at is not None:
                self._pinged_at = None
                self._ping_due = now + settings.ping_interval_s
        if settings.stream_age_max_s > 0 and now >= self._born + settings.stream_age_max_s:
            return Due.STREAM_TOO_OLD
        if settings.idle_timeout_s > 0 and now >= self._last_message + settings.idle_timeout_s:
            return Due.IDLE_TIMEOUT
        if self._pinged_at is not None:
            if settings.ping_timeout_s > 0 and now >= self._pinged_at + settings.ping_timeout_s:
                return Due.PING_TIMEOUT
            if settings.ping_timeout_s <= 0 and self._ping_due is not None and now >= self._ping_due:
                self._ping_due = now + settings.ping_interval_s
                return Due.PING
        elif self._ping_due is not None and now >= self._ping_due:
            self._pinged_at = now
            self._ping_due = now + settings.ping_interval_s
            return Due.PING
        return Due.NOTHING

    def _note_message(self, now: float) -> None:
        if self.message:
            self.message = False
            self._last_message = now
