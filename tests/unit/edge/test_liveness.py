from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from penstock_edge.liveness import Due, Liveness
from penstock_edge.settings import StreamSettings


@dataclass
class Clock:
    """Runs a Liveness as the edge does: looks when it asks for it, and notes what was due."""

    settings: StreamSettings
    now: float = 0.0
    seen: list[tuple[float, Due]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.liveness = Liveness(self.settings, self.now)

    def run(self, until: float, *, is_reading: bool = True, answers: bool = False) -> list[tuple[float, Due]]:
        before = len(self.seen)
        while (at := self.liveness.next_check()) is not None and at <= until:
            assert at >= self.now
            self.now = at
            due = self.liveness.check(at, is_reading=is_reading)
            if due is not Due.NOTHING:
                self.seen.append((at, due))
            if due is Due.PING and answers:
                self.liveness.heard = True
            if due not in (Due.PING, Due.NOTHING):
                break
        self.now = until
        return self.seen[before:]


def settings(ping_interval: float = 20, ping_timeout: float = 20, idle: float = 0, age: float = 0) -> StreamSettings:
    return StreamSettings(
        ping_interval_s=ping_interval, ping_timeout_s=ping_timeout, idle_timeout_s=idle, stream_age_max_s=age
    )


def test_a_silent_client_is_pinged_and_then_given_up() -> None:
    assert Clock(settings()).run(100) == [(20, Due.PING), (40, Due.PING_TIMEOUT)]


def test_a_client_that_answers_is_pinged_at_every_interval_and_kept() -> None:
    clock = Clock(settings())

    seen = clock.run(3600, answers=True)

    assert {due for _, due in seen} == {Due.PING}
    assert len(seen) >= 3600 // 40


def test_any_sign_of_life_answers_a_ping() -> None:
    clock = Clock(settings())
    clock.run(30)
    clock.liveness.heard = True

    assert clock.run(59) == []
    assert clock.run(60) == [(60, Due.PING)]


def test_pause_of_a_slow_model_times_nobody_out() -> None:
    """While the socket is not read, a pong cannot be heard."""
    clock = Clock(settings())
    clock.run(25)

    paused = clock.run(600, is_reading=False)

    assert Due.PING_TIMEOUT not in [due for _, due in paused]
    assert Due.PING_TIMEOUT in [due for _, due in clock.run(700)]


def test_pings_can_be_off() -> None:
    assert Clock(settings(ping_interval=0)).liveness.next_check() is None
    assert Clock(settings(ping_interval=0)).run(10_000) == []


def test_unanswered_pings_can_be_without_consequence() -> None:
    seen = Clock(settings(ping_timeout=0)).run(100)

    assert seen == [(20, Due.PING), (40, Due.PING), (60, Due.PING), (80, Due.PING), (100, Due.PING)]


def test_a_stream_without_messages_ends_after_the_idle_time() -> None:
    assert Clock(settings(0, idle=300)).run(1000) == [(300, Due.IDLE_TIMEOUT)]


def test_pongs_do_not_keep_an_idle_stream_open() -> None:
    seen = Clock(settings(idle=300)).run(1000, answers=True)

    assert seen[-1][1] is Due.IDLE_TIMEOUT
    assert 300 <= seen[-1][0] < 321


def test_a_message_starts_the_idle_time_anew() -> None:
    clock = Clock(settings(0, idle=300))
    clock.run(299)
    clock.liveness.message = True

    assert clock.run(599) == []
    (at, due), *_ = clock.run(1000)
    assert due is Due.IDLE_TIMEOUT
    assert at <= 600


def test_an_old_stream_ends_however_busy_it_is() -> None:
    clock = Clock(settings(0, age=3600))
    clock.liveness.message = clock.liveness.heard = True

    assert clock.run(4000) == [(3600, Due.STREAM_TOO_OLD)]


def test_age_wins_when_everything_is_due_at_once() -> None:
    liveness = Liveness(settings(10, 10, idle=20, age=20), 0)
    liveness.check(10, is_reading=True)

    assert liveness.check(50, is_reading=True) is Due.STREAM_TOO_OLD


@given(
    st.sampled_from([0.0, 5.0, 20.0]),
    st.sampled_from([0.0, 3.0, 20.0]),
    st.sampled_from([0.0, 30.0]),
    st.sampled_from([0.0, 100.0]),
    st.lists(st.tuples(st.floats(0, 15), st.booleans(), st.booleans(), st.booleans()), max_size=20),
)
def test_the_next_look_is_always_ahead(
    interval: float,
    timeout: float,
    idle: float,
    age: float,
    steps: list[tuple[float, bool, bool, bool]],
) -> None:
    """A deadline that stays in the past would make the edge spin."""
    liveness = Liveness(settings(interval, timeout, idle, age), 0)
    now = 0.0
    for wait, heard, message, is_reading in steps:
        at = liveness.next_check()
        now = max(now, at if at is not None else now) + wait
        liveness.heard, liveness.message = heard, message
        due = liveness.check(now, is_reading=is_reading)
        following = liveness.next_check()
        if due in (Due.NOTHING, Due.PING):
            assert following is None or following > now


def test_silence_is_never_told_longer_than_it_is_and_known_to_the_last_look() -> None:
    clock = Clock(settings())
    clock.run(25, answers=True)
    assert clock.liveness.silent_for(25) == 25, "there was no message"

    clock.liveness.message = True  # at 30
    clock.run(59, answers=True)
    assert clock.liveness.silent_for(59) == 59 - 40, "the look at 40 has found it"

    clock.liveness.message = True  # at 59
    assert clock.liveness.silent_for(63) == 0
    assert clock.liveness.silent_for(65) == 2, "every question is a look"


def test_a_question_on_the_silence_does_not_put_off_the_idle_timeout() -> None:
    clock = Clock(settings(ping_interval=0, idle=60))
    clock.liveness.message = True
    clock.liveness.silent_for(10)

    assert clock.run(200) == [(70, Due.IDLE_TIMEOUT)]
