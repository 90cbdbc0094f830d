from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from penstock.api.control.v1 import control_pb2
from penstock_edge.placement import EJECTION_S_MAX, REFUSAL_S, REPORT_LAG_S, Placement

READY = control_pb2.REPLICA_STATE_READY
DRAINING = control_pb2.REPLICA_STATE_DRAINING


def route(
    id: str,
    active: int = 0,
    capacity: int = 10,
    *,
    deployment: str = "d",
    state: control_pb2.ReplicaState.ValueType = READY,
    cordoned: bool = False,
    address: str = "",
) -> control_pb2.ReplicaRoute:
    return control_pb2.ReplicaRoute(
        replica_id=id,
        deployment_id=deployment,
        address=address or f"{id}:1",
        state=state,
        cordoned=cordoned,
        active_streams=active,
        stream_capacity=capacity,
    )


def placement(*routes: control_pb2.ReplicaRoute, choose: Callable[[int], int] = lambda _: 0) -> Placement:
    made = Placement(choose)
    made.update(routes, 0.0, is_partial=False)
    return made


def chosen(of: Placement, now: float = 0.0, tried: tuple[str, ...] = (), deployment: str = "d") -> str | None:
    candidate = of.choose(deployment, tried, now)
    return None if candidate is None else candidate.replica_id


def test_the_least_utilised_is_taken_not_the_one_with_fewest_streams() -> None:
    assert chosen(placement(route("small", 2, 4), route("large", 10, 100))) == "large"


def test_equals_are_told_apart_by_the_injected_choice() -> None:
    seen: list[int] = []

    def last(count: int) -> int:
        seen.append(count)
        return count - 1

    assert chosen(placement(route("a"), route("b"), route("c"), route("busy", 1), choose=last)) == "c"
    assert seen == [3]


def test_no_dice_are_thrown_for_one() -> None:
    def fail(_: int) -> int:
        raise AssertionError("nothing to choose from")

    assert chosen(placement(route("a"), route("b", 1), choose=fail)) == "a"


def test_a_cordoned_replica_comes_last() -> None:
    cordoned = route("c", 0, 10, cordoned=True)

    assert chosen(placement(cordoned, route("busy", 9, 10))) == "busy"
    assert chosen(placement(cordoned, route("full", 10, 10))) == "c"


def test_only_ready_replicas_of_the_deployment_with_room_are_taken() -> None:
    of = placement(route("a", state=DRAINING), route("b", 10, 10), route("other", deployment="e"))

    assert chosen(of) is None
    assert chosen(of, deployment="e") == "other"
    assert chosen(of, deployment="nothing") is None


def test_what_was_tried_is_not_tried_again() -> None:
    of = placement(route("a"), route("b", 1))

    assert chosen(of, tried=("a",)) == "b"
    assert chosen(of, tried=("a", "b")) is None


def test_a_full_replica_is_left_out_until_a_stream_of_it_ends() -> None:
    of = placement(route("a", 5, 10))
    of.full("a", 0.0)
    assert chosen(of) is None

    of.ended("a", 0.5)

    assert chosen(of, 0.5) == "a"


def test_a_refusal_holds_until_the_next_report_or_for_a_while() -> None:
    """With the controller away no report comes; the replica must not stay left out for good."""
    for refuse in (Placement.full, Placement.draining):
        of = placement(route("a"))
        refuse(of, "a", 10.0)
        assert chosen(of, 10.0) is None
        assert of.next_return("d", 10.0) == 10.0 + REFUSAL_S
        assert chosen(of, 10.0 + REFUSAL_S) == "a"

        refuse(of, "a", 20.0)
        of.update([route("a")], 20.1, is_partial=False)
        assert chosen(of, 20.1) == "a"


def test_draining_replicas_do_not_count_as_ready() -> None:
    of = placement(route("a"), route("b"), route("c", state=DRAINING))
    assert of.ready_count("d", 0.0) == 2

    of.draining("a", 0.0)

    assert of.ready_count("d", 0.0) == 1
    assert of.ready_count("d", REFUSAL_S) == 2


def test_back_off_of_an_unreachable_replica_doubles_until_it_answers() -> None:
    of = placement(route("a"))
    now, lengths = 0.0, []
    for _ in range(7):
        of.opened("a", now)
        of.refused("a", now)
        of.unreachable("a", now)
        until = of.next_return("d", now)
        assert until is not None
        assert chosen(of, until - 0.01) is None
        assert chosen(of, until) == "a"
        lengths.append(until - now)
        now = until
    assert lengths == [1, 2, 4, 8, 16, EJECTION_S_MAX, EJECTION_S_MAX]

    of.answered("a")
    of.unreachable("a", now)

    assert of.next_return("d", now) == now + 1


def test_many_streams_that_meet_the_same_failure_count_once() -> None:
    of = placement(route("a"))

    for _ in range(50):
        of.unreachable("a", 5.0)

    assert of.next_return("d", 5.0) == 6.0


def test_an_ejection_outlives_a_snapshot_but_not_a_new_address() -> None:
    of = placement(route("a"))
    of.unreachable("a", 0.0)

    of.update([route("a")], 0.1, is_partial=False)
    assert chosen(of, 0.1) is None

    of.update([route("a", address="elsewhere:1")], 0.2, is_partial=False)
    assert chosen(of, 0.2) == "a"


def test_partial_snapshot_removes_nothing() -> None:
    of = placement(route("a"), route("b"))
    of.opened("a", 0.0)

    assert of.update([route("c", 7)], 1.0, is_partial=True) == set()

    assert {candidate.replica_id for candidate in of.candidates()} == {"a", "b", "c"}
    known = of.candidate("a")
    assert known is not None and known.active == 1
    assert of.update([route("c")], 2.0, is_partial=False) == {"a", "b"}


def test_own_streams_count_until_a_report_has_them() -> None:
    of = placement(route("a", 3))
    of.opened("a", 10.0)
    of.opened("a", 10.0)

    def active(reported: int, now: float) -> int:
        of.update([route("a", reported)], now, is_partial=False)
        candidate = of.candidate("a")
        assert candidate is not None
        return candidate.active

    assert active(3, 10.5) == 5  # the report of before
    assert active(4, 10.6) == 4  # a new one
    of.opened("a", 20.0)
    assert active(4, 20.0 + REPORT_LAG_S - 0.1) == 5
    assert active(4, 20.0 + REPORT_LAG_S) == 4  # it must count it by now


def test_a_report_from_amid_a_burst_does_not_hide_the_streams_of_this_edge() -> None:
    of = placement(route("a"), route("b"))
    for _ in range(4):
        of.opened("a", 1.0)
        of.opened("b", 1.0)

    of.update([route("a", 2), route("b", 4)], 1.1, is_partial=False)
    assert [candidate.active for candidate in of.candidates()] == [4, 4]

    of.ended("a", 1.2)
    assert chosen(of, 1.2) == "a"
    of.update([route("a", 3), route("b", 9)], 1.3, is_partial=False)
    assert [candidate.active for candidate in of.candidates()] == [3, 9]  # another edge has its own


def test_a_count_never_falls_below_zero() -> None:
    of = placement(route("a"))
    for _ in range(3):
        of.ended("a", 0.0)
    candidate = of.candidate("a")
    assert candidate is not None and candidate.active == 0


def test_unknown_replicas_are_ignored() -> None:
    of = placement()
    for event in (of.opened, of.ended, of.refused, of.full, of.draining, of.unreachable):
        event("gone", 0.0)
    of.answered("gone")
    assert chosen(of) is None


REPLICAS = st.lists(
    st.builds(
        route,
        st.sampled_from("abcdefgh"),
        st.integers(0, 6),
        st.integers(0, 6),
        state=st.sampled_from([READY, DRAINING, control_pb2.REPLICA_STATE_STARTING]),
        cordoned=st.booleans(),
    ),
    max_size=8,
    unique_by=lambda made: made.replica_id,
)
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["opened", "ended", "refused", "full", "draining", "unreachable"]), st.sampled_from("abcdefgh")
    ),
    max_size=20,
)


@given(REPLICAS, EVENTS, st.sets(st.sampled_from("abcdefgh")), st.data())
def test_the_choice_is_always_usable_and_always_a_minimum(
    routes: list[control_pb2.ReplicaRoute], events: list[tuple[str, str]], tried: set[str], data: st.DataObject
) -> None:
    of = placement(*routes, choose=lambda count: data.draw(st.integers(0, count - 1)))
    for name, replica_id in events:
        getattr(of, name)(replica_id, 0.0)
    now = data.draw(st.sampled_from([0.0, 1.0, 2.0, 3.0, 40.0]))

    best = of.choose("d", tried, now)

    usable = [
        candidate
        for candidate in of.candidates()
        if candidate.is_ready
        and candidate.active < candidate.capacity
        and candidate.replica_id not in tried
        and max(candidate.ejected_until, candidate.full_until, candidate.draining_until) <= now
    ]
    if best is None:
        assert usable == []
    else:
        assert best in usable
        assert (best.is_cordoned, best.active / best.capacity) == min(
            (candidate.is_cordoned, candidate.active / candidate.capacity) for candidate in usable
        )
