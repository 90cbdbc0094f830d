from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock_controller.fleet import Fleet, Place
from penstock_controller.restarts import ExitKind, Restarts


def filled(target: int) -> Fleet:
    fleet = Fleet()
    fleet.resize("d", target, ())
    for place in fleet.due("d", 0.0):
        fleet.occupy(place, f"r{place.index}", 0.0)
    return fleet


def seated(fleet: Fleet) -> dict[int, str | None]:
    return {place.index: place.replica_id for place in fleet.places("d") if place.occupied}


def test_every_new_place_is_due_at_once() -> None:
    fleet = Fleet()
    fleet.resize("d", 2, ())

    assert [place.index for place in fleet.due("d", 0.0)] == [0, 1]


def test_victim_gives_up_its_place_and_the_others_move_together() -> None:
    fleet = filled(3)

    fleet.resize("d", 2, ["r0"])

    assert seated(fleet) == {0: "r2", 1: "r1"}
    assert fleet.leavers() == {"r0": "d"}
    assert fleet.due("d", 0.0) == []


def test_exit_of_a_seated_replica_makes_its_place_due_after_the_delay() -> None:
    fleet = filled(1)

    place = fleet.exited("r0", ExitKind.CRASH, "gone", 5.0)

    assert place is not None
    assert fleet.next_start_at() == 5.1
    assert fleet.due("d", 5.0) == []
    assert fleet.due("d", 5.1) == [place]


def test_leaver_whose_drain_was_taken_back_gets_the_vacant_place_again() -> None:
    fleet = filled(2)
    fleet.leave("r0")

    place = fleet.rejoin("r0", 5.0)

    assert place is not None
    assert seated(fleet) == {0: "r0", 1: "r1"}
    assert fleet.leavers() == {}
    assert fleet.place_of("r0") is place


def test_leaver_whose_place_was_given_away_gets_a_further_one() -> None:
    fleet = filled(1)
    fleet.leave("r0")
    (place,) = fleet.due("d", 1.0)
    fleet.occupy(place, "r9", 1.0)

    fleet.rejoin("r0", 5.0)

    assert seated(fleet) == {0: "r9", 1: "r0"}
    assert fleet.rejoin("nobody", 5.0) is None


def test_exit_of_a_leaver_starts_nothing() -> None:
    fleet = filled(1)
    fleet.resize("d", 0, ["r0"])

    assert fleet.exited("r0", ExitKind.CRASH, "gone", 5.0) is None
    assert fleet.is_empty("d")
    assert fleet.next_start_at() is None


def test_replica_that_drains_by_itself_is_replaced_while_it_finishes() -> None:
    fleet = filled(1)

    fleet.leave("r0")

    assert [place.index for place in fleet.due("d", 0.0)] == [0]
    assert not fleet.is_empty("d")


def test_fewer_places_drop_those_that_back_off() -> None:
    fleet = filled(2)
    fleet.exited("r1", ExitKind.LOAD_FAILURE, "", 0.0)

    fleet.resize("d", 1, ())

    assert seated(fleet) == {0: "r0"}
    assert fleet.next_start_at() is None


def test_without_victims_no_replica_loses_its_place() -> None:
    """During recovery there are none, however many replicas are too many."""
    fleet = filled(3)

    fleet.resize("d", 1, ())

    assert sorted(str(replica) for replica in seated(fleet).values()) == ["r0", "r1", "r2"]


def test_restored_place_knows_its_replica() -> None:
    fleet = Fleet()
    place = Place("d", 0, "r0", Restarts().adopted(0.0))

    fleet.restore(place)

    assert fleet.place_of("r0") is place


def test_message_goes_when_the_replica_is_ready() -> None:
    fleet = filled(1)
    place = fleet.exited("r0", ExitKind.CRASH, "gone", 0.0)
    assert place is not None
    fleet.occupy(place, "r1", 1.0)

    fleet.ready("r1")

    assert place.restarts.message == ""


def test_forgotten_deployment_has_no_places() -> None:
    fleet = filled(1)
    fleet.resize("d", 0, ["r0"])
    fleet.exited("r0", ExitKind.CRASH, "", 0.0)

    fleet.forget("d")

    assert fleet.all_places() == []


@given(st.integers(0, 6), st.integers(0, 6), st.sets(st.integers(0, 5)))
def test_resize_loses_no_replica_and_leaves_exactly_the_target(before: int, after: int, ended: set[int]) -> None:
    fleet = filled(before)
    for index in ended & set(range(before)):
        fleet.exited(f"r{index}", ExitKind.CRASH, "", 0.0)
    alive = {str(replica) for replica in seated(fleet).values()}
    victims = sorted(alive)[: max(0, len(alive) - after)]

    fleet.resize("d", after, victims)

    assert {str(replica) for replica in seated(fleet).values()} | set(fleet.leavers()) == alive
    assert [place.index for place in fleet.places("d")] == list(range(after))
    assert all(fleet.place_of(str(r)) is not None for r in seated(fleet).values())
