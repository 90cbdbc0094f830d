from __future__ import annotations

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from penstock.candidate import (
    EJECTION_S_MAX,
    PROBE_S,
    REFUSAL_S,
    REPORT_LAG_S,
    Candidate,
    ReplicaReport,
)


def report(
    active: int = 0, capacity: int = 10, *, address: str = "a:1", is_ready: bool = True, age_s: float = 0.0
) -> ReplicaReport:
    return ReplicaReport("a", "d", address, is_ready, False, active, capacity, age_s)


def candidate(active: int = 0, capacity: int = 10, *, now: float = 0.0) -> Candidate:
    made = Candidate("a")
    made.renew(report(active, capacity), now)
    return made


def test_own_streams_count_until_a_report_has_them() -> None:
    of = candidate(3)
    of.opened(10.0)
    of.opened(10.0)

    def active(reported: int, now: float) -> int:
        of.renew(report(reported), now)
        return of.active

    assert active(3, 10.5) == 5  # the report of before
    assert active(4, 10.6) == 4  # a new one
    of.opened(20.0)
    assert active(4, 20.0 + REPORT_LAG_S - 0.1) == 5
    assert active(4, 20.0 + REPORT_LAG_S) == 4  # it must count it by now


def test_a_report_from_amid_a_burst_does_not_hide_the_streams_of_this_edge() -> None:
    of = candidate()
    for _ in range(4):
        of.opened(1.0)

    of.renew(report(2), 1.1)
    assert of.active == 4

    of.left(1.2, frees_slot=True)
    of.renew(report(9), 1.3)
    assert (of.active, of.own) == (9, 3), "another edge has its own"


def test_the_load_counts_streams_beyond_the_slots() -> None:
    """An operator may lower the slots below what is open."""
    of = candidate(10, 4)

    assert of.load == 2.5
    assert candidate(0, 0).capacity == 1


def test_a_count_never_falls_below_zero() -> None:
    of = candidate()

    for _ in range(3):
        of.left(0.0, frees_slot=True)

    assert (of.active, of.own) == (0, 0)


def test_a_refusal_holds_for_a_while_when_no_report_comes() -> None:
    for refuse in (Candidate.full, Candidate.draining):
        of = candidate()
        refuse(of, 10.0)
        assert of.usable_at() == 10.0 + REFUSAL_S


def test_a_refusal_holds_until_a_report_that_is_newer() -> None:
    """A snapshot comes whenever any replica has news; this one may have none."""
    for refuse in (Candidate.full, Candidate.draining):
        of = candidate()
        refuse(of, 10.0)

        of.renew(report(5, age_s=0.2), 10.1)
        assert of.left_out_until == 10.0 + REFUSAL_S

        of.renew(report(5, age_s=0.05), 10.1)
        assert of.left_out_until == 0.0


def test_the_end_of_an_own_stream_takes_back_that_it_is_full() -> None:
    of = candidate(5)
    of.opened(0.0)
    of.full(1.0)

    of.left(1.1, frees_slot=False)
    assert of.left_out_until == 1.0 + REFUSAL_S, "one that was refused has freed nothing"

    of.left(1.2, frees_slot=True)
    assert of.left_out_until == 0.0


def test_back_off_of_an_unreachable_replica_doubles_until_it_answers() -> None:
    of = candidate()
    now, lengths = 0.0, []
    for _ in range(7):
        of.opened(now)
        of.left(now, frees_slot=False)
        of.unreachable(now)
        lengths.append(of.usable_at() - now)
        now = of.usable_at()
    assert lengths == [1, 2, 4, 8, 16, EJECTION_S_MAX, EJECTION_S_MAX]

    assert of.answered()
    of.unreachable(now)

    assert of.usable_at() == now + 1


def test_a_refusal_is_an_answer_too() -> None:
    for refuse in (Candidate.full, Candidate.draining):
        of = candidate()
        of.unreachable(0.0)
        refuse(of, 1.0)
        of.unreachable(10.0)
        assert of.usable_at() == 11.0


def test_many_streams_that_meet_the_same_failure_count_once() -> None:
    of = candidate()

    for _ in range(50):
        of.unreachable(5.0)

    assert of.usable_at() == 6.0


def test_one_stream_tries_what_could_not_be_reached_before() -> None:
    of = candidate()
    of.unreachable(0.0)
    of.opened(1.0)
    assert of.usable_at() == 1.0 + PROBE_S, "others keep away"

    assert of.answered()
    assert of.usable_at() <= 1.0
    assert not of.answered(), "nobody keeps away any more"


def test_nobody_keeps_away_from_a_replica_without_a_past() -> None:
    of = candidate()
    of.opened(1.0)

    assert of.usable_at() <= 1.0
    assert not of.answered()


def test_an_ejection_outlives_a_snapshot_but_not_a_new_address() -> None:
    of = candidate()
    of.unreachable(0.0)

    of.renew(report(), 0.1)
    assert of.usable_at() == 1.0

    of.renew(report(address="elsewhere:1"), 0.2)
    assert of.usable_at() <= 0.2


def test_what_was_full_may_have_a_slot_when_its_report_is_outdated() -> None:
    of = candidate(10, now=5.0)
    assert of.usable_at() == 5.0 + REPORT_LAG_S

    of.full(9.0)
    assert of.usable_at() == 9.0 + REFUSAL_S


def test_what_own_streams_fill_is_full_however_old_the_report() -> None:
    of = candidate(0, 2)
    of.opened(1.0)
    of.opened(1.0)

    assert of.usable_at() == inf


def test_what_is_not_ready_cannot_be_waited_for() -> None:
    of = candidate()
    of.renew(report(is_ready=False), 1.0)

    assert of.usable_at() == of.left_out_until == inf


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["opened", "full", "draining", "unreachable"])),
        st.tuples(st.just("left"), st.booleans()),
        st.tuples(st.just("answered")),
        st.tuples(
            st.just("renew"), st.integers(0, 6), st.integers(0, 4), st.booleans(), st.sampled_from([0.0, 0.5, 5.0])
        ),
    ),
    max_size=40,
)


@given(EVENTS, st.lists(st.sampled_from([0.0, 0.1, 1.0, 4.0]), min_size=40, max_size=40))
def test_whatever_happens_the_estimate_holds_and_every_mark_ends(
    events: list[tuple[object, ...]], pauses: list[float]
) -> None:
    of, now, own = candidate(), 0.0, 0
    for (name, *values), pause in zip(events, pauses, strict=False):
        now += pause
        match name, values:
            case "left", [bool(frees_slot)]:
                of.left(now, frees_slot=frees_slot)
                own = max(0, own - 1)
            case "answered", _:
                of.answered()
            case "renew", [int(active), int(capacity), bool(is_ready), float(age_s)]:
                of.renew(report(active, capacity, is_ready=is_ready, age_s=age_s), now)
            case _:
                getattr(of, str(name))(now)
                own += name == "opened"
        assert of.own == own
        assert of.active >= own
        assert of.load == of.active / of.capacity
        assert (of.load < 1) == (of.active < of.capacity)
        assert of.left_out_until == inf if not of.is_ready else of.left_out_until <= now + EJECTION_S_MAX
