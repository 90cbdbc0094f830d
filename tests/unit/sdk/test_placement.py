from __future__ import annotations

from collections.abc import Callable

import pytest

from penstock.candidate import REFUSAL_S, REPORT_LAG_S
from penstock.placement import MANY_EDGES, NEWS_S, SAMPLE, Placement, PlacementStrategy
from penstock_testing.placement_kit import chosen, placement, report

PACKED = PlacementStrategy.PACKED


def test_the_least_utilised_is_taken_not_the_one_with_fewest_streams() -> None:
    assert chosen(placement(report("small", 2, 4), report("large", 10, 100))) == "large"


def test_equals_are_told_apart_by_the_injected_choice() -> None:
    seen: list[int] = []

    def last(count: int) -> int:
        seen.append(count)
        return count - 1

    assert chosen(placement(report("a"), report("b"), report("c"), report("busy", 1), choose=last)) == "c"
    assert seen == [3]


def test_no_dice_are_thrown_for_one() -> None:
    def fail(_: int) -> int:
        raise AssertionError("nothing to choose from")

    assert chosen(placement(report("a"), report("b", 1), choose=fail)) == "a"


def test_packed_takes_the_most_utilised_that_has_a_slot() -> None:
    of = placement(report("empty"), report("half", 5), report("almost", 9), report("full", 10))

    assert chosen(of, strategy=PACKED) == "almost"
    assert chosen(of, tried=("almost",), strategy=PACKED) == "half"


def test_a_cordoned_replica_comes_last() -> None:
    cordoned = report("c", 0, 10, cordoned=True)

    for strategy in PlacementStrategy:
        assert chosen(placement(cordoned, report("busy", 9, 10)), strategy=strategy) == "busy"
        assert chosen(placement(cordoned, report("full", 10, 10)), strategy=strategy) == "c"


def test_only_ready_replicas_of_the_deployment_with_room_are_taken() -> None:
    of = placement(report("a", ready=False), report("b", 10, 10), report("other", deployment="e"))

    assert chosen(of) is None
    assert chosen(of, deployment="e") == "other"
    assert chosen(of, deployment="nothing") is None


def test_what_was_tried_is_not_tried_again() -> None:
    of = placement(report("a"), report("b", 1))

    assert chosen(of, tried=("a",)) == "b"
    assert chosen(of, tried=("a", "b")) is None


def test_a_full_replica_is_left_out_until_a_stream_of_it_ends() -> None:
    of = placement(report("a", 5, 10))
    of.full("a", 0.0)
    assert chosen(of) is None

    of.ended("a", 0.5)

    assert chosen(of, 0.5) == "a"


def test_a_refusal_holds_until_the_next_report_or_for_a_while() -> None:
    """With the controller away no report comes; the replica must not stay left out for good."""
    for refuse in (Placement.full, Placement.draining):
        of = placement(report("a"))
        refuse(of, "a", 10.0)
        assert chosen(of, 10.0) is None
        assert of.next_return("d", 10.0) == 10.0 + REFUSAL_S
        assert chosen(of, 10.0 + REFUSAL_S) == "a"

        refuse(of, "a", 20.0)
        of.update([report("a")], 20.1, is_partial=False)
        assert chosen(of, 20.1) == "a"


def test_draining_replicas_do_not_count_as_ready() -> None:
    of = placement(report("a"), report("b"), report("c", ready=False))
    assert of.ready_count("d", 0.0) == 2

    of.draining("a", 0.0)

    assert of.ready_count("d", 0.0) == 1
    assert of.ready_count("d", REFUSAL_S) == 2
    assert of.ready_count("nothing", 0.0) == 0


def test_an_unreachable_replica_is_left_out_and_then_tried_by_one_stream() -> None:
    of = placement(report("a"))
    of.unreachable("a", 0.0)
    assert chosen(of, 0.9) is None
    assert of.next_return("d", 0.9) == 1.0
    assert chosen(of, 1.0) == "a"

    of.opened("a", 1.0)
    assert chosen(of, 1.5) is None
    assert of.answered("a")
    assert chosen(of, 1.5) == "a"


def test_partial_snapshot_removes_nothing() -> None:
    of = placement(report("a"), report("b"))
    of.opened("a", 0.0)

    assert of.update([report("c", 7)], 1.0, is_partial=True) == set()

    assert {candidate.replica_id for candidate in of.candidates()} == {"a", "b", "c"}
    known = of.candidate("a")
    assert known is not None and known.active == 1
    assert of.update([report("c")], 2.0, is_partial=False) == {"a", "b"}


def test_streams_are_remembered_while_the_snapshot_does_not_name_their_replica() -> None:
    """A lease that ran out says nothing about the streams, which go on."""
    of = placement(report("a", 3))
    for _ in range(3):
        of.opened("a", 0.0)
    of.update([], 5.0, is_partial=False)
    assert of.candidate("a") is None and chosen(of, 5.0) is None
    of.ended("a", 6.0)

    of.update([report("a", 0)], 10.0, is_partial=False)

    known = of.candidate("a")
    assert known is not None and (known.own, known.active) == (2, 2)


def test_replicas_without_streams_are_forgotten_with_the_snapshot() -> None:
    of = placement(report("idle"), report("busy"))
    of.opened("busy", 0.0)

    of.update([], 1.0, is_partial=False)
    assert of._departed.keys() == {"busy"}

    of.ended("busy", 2.0)
    assert not of._departed


def test_unknown_replicas_are_ignored() -> None:
    of = placement()
    for event in (of.opened, of.ended, of.refused, of.full, of.draining, of.unreachable):
        event("gone", 0.0)
    assert not of.answered("gone")
    assert chosen(of) is None


# Reports that are outdated


@pytest.mark.parametrize("edge_count", [1, 50])
def test_what_was_full_by_an_outdated_report_is_tried_last(edge_count: int) -> None:
    """With the controller away, a slot that a stream of another edge has freed is found by trying."""
    late = REPORT_LAG_S + 0.1
    of = placement(
        report("full", 10),
        report("room", 8),
        report("cordoned", 0, cordoned=True),
        report("over", 12),
        edge_count=edge_count,
    )
    assert chosen(of, late) == "room"
    assert chosen(of, late, tried=("room",)) == "cordoned"

    tried = ("room", "cordoned")
    assert chosen(of, REPORT_LAG_S - 0.1, tried) is None
    assert of.next_return("d", 1.0) == REPORT_LAG_S
    for strategy in PlacementStrategy:
        assert chosen(of, late, tried, strategy=strategy) == "full", "it is the likeliest to have a slot"
    assert chosen(of, late, (*tried, "full")) == "over"

    of.full("full", late)
    of.full("over", late)
    assert chosen(of, late, tried) is None
    assert of.next_return("d", late) == late + REFUSAL_S


def test_an_outdated_report_within_a_fresh_snapshot_does_not_hold_for_ever() -> None:
    """The controller is there, but has not heard from this replica."""
    of = placement(report("a", 10, age_s=REPORT_LAG_S))

    assert chosen(of) == "a"


def test_what_was_taken_for_full_since_an_outdated_report_is_tried_too() -> None:
    of = placement(report("a", 8))
    of.opened("a", 1.0)
    of.opened("a", 1.0)
    assert chosen(of, 1.0) is None

    assert chosen(of, REPORT_LAG_S) == "a"


def test_what_this_edge_alone_fills_is_never_tried() -> None:
    of = placement(report("a", 0, 1))
    of.opened("a", 0.0)

    assert chosen(of, 100.0) is None
    assert of.next_return("d", 0.0) is None


# Old views


def dice(*values: int) -> Callable[[int], int]:
    left = list(values)
    return lambda count: left.pop(0) % count


BUSY = [report(f"r{number}", number) for number in range(10)]
"""The lower the number, the less is on it."""


def test_of_old_news_the_best_of_a_random_sample_is_taken() -> None:
    of = placement(*BUSY, choose=dice(7, 4, 8))

    assert chosen(of, NEWS_S + 0.1) == "r4"


def test_beside_many_edges_the_best_of_a_random_sample_is_taken() -> None:
    assert chosen(placement(*BUSY, choose=dice(7, 4, 8), edge_count=MANY_EDGES)) == "r4"
    assert chosen(placement(*BUSY, edge_count=MANY_EDGES - 1)) == "r0"


def test_the_newest_report_tells_how_old_the_news_is() -> None:
    """A runner without changes reports every 2 s, and its count is exact all the same."""
    quiet = [report(f"r{number}", number, age_s=1.9) for number in range(9)]

    assert chosen(placement(*quiet, report("r9", 9), choose=dice())) == "r0"
    assert chosen(placement(*quiet, choose=dice(7, 4, 8))) == "r4"


def test_a_lone_edge_knows_it_all() -> None:
    assert chosen(placement(*BUSY, choose=dice(), edge_count=1), now=100.0) == "r0"


def test_packed_is_never_left_to_chance() -> None:
    assert chosen(placement(*BUSY, choose=dice(), edge_count=50), strategy=PACKED) == "r9"


def test_as_few_as_a_sample_are_all_compared() -> None:
    assert chosen(placement(*BUSY[:SAMPLE], choose=dice(), edge_count=50)) == "r0"


def test_a_sample_leaves_out_what_is_unusable() -> None:
    of = placement(*BUSY, report("full", 10), report("c", cordoned=True), choose=dice(10, 11, 5), edge_count=50)

    assert chosen(of) == "r5"


def test_a_sample_without_a_free_slot_is_followed_by_a_look_at_all() -> None:
    full = [report(f"full{number}", 10) for number in range(50)]
    few = placement(*full, report("a", 3), report("b", 2), choose=dice(0, 1, 2), edge_count=50)
    assert chosen(few) == "b"

    many = placement(*full, *BUSY, choose=dice(0, 1, 2, 7, 4, 8), edge_count=50)
    assert chosen(many) == "r4", "again the best of a sample: the next edge must not take the same"


def test_a_partial_snapshot_does_not_know_of_fewer_edges() -> None:
    """The controller has restarted, and not every edge is back."""
    of = placement(*BUSY, choose=dice(7, 4, 8), edge_count=50)

    of.update(BUSY, 1.0, is_partial=True, edge_count=1)

    assert chosen(of, 1.0) == "r4"
