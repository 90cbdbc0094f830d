from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock_bench.control.delays import percentile, snapshot_delays

seconds = st.floats(0, 1000, allow_nan=False)


def test_a_count_arrives_with_the_first_snapshot_that_shows_it_or_a_later_one() -> None:
    sent = [(10.0, 0, 5), (10.2, 0, 6), (10.3, 0, 7)]
    seen = [(10.1, 0, 0, 5), (10.5, 0, 0, 7)]

    delays, lost = snapshot_delays(sent, seen, 1, 0, 20)

    assert [round(delay, 6) for delay in delays] == [0.1, 0.2, 0.3]
    assert lost == 0


def test_every_edge_counts_by_itself() -> None:
    delays, lost = snapshot_delays([(1.0, 0, 2)], [(1.5, 0, 0, 2), (3.0, 2, 0, 2)], 3, 0, 9)

    assert delays == [0.5, 2.0]
    assert lost == 1, "the edge in the middle never saw it"


def test_probes_are_not_mixed_up() -> None:
    delays, lost = snapshot_delays([(1.0, 0, 2)], [(1.5, 0, 1, 9)], 1, 0, 9)

    assert (delays, lost) == ([], 1)


def test_only_what_was_sent_in_the_window_counts() -> None:
    sent = [(1.0, 0, 2), (5.0, 0, 3), (9.0, 0, 4)]

    delays, lost = snapshot_delays(sent, [(6.0, 0, 0, 3)], 1, 4.0, 8.0)

    assert (delays, lost) == ([1.0], 0)


def test_no_value_has_no_percentile() -> None:
    assert percentile([], 0.99) is None


@given(st.lists(seconds, min_size=1, max_size=300).map(sorted), st.floats(0, 1))
def test_a_percentile_was_measured_and_has_its_share_at_or_below_it(ordered: list[float], share: float) -> None:
    found = percentile(ordered, share)

    assert found in ordered
    assert sum(value <= found for value in ordered if found is not None) >= int(share * len(ordered))


@given(st.lists(st.floats(0.001, 1), min_size=1, max_size=50), st.floats(0, 0.5))
def test_a_constant_way_gives_that_delay_for_every_count(gaps: list[float], way: float) -> None:
    at = 0.0
    sent, seen = [], []
    for count, gap in enumerate(gaps, 1):
        at += gap
        sent.append((at, 0, count))
        seen.append((at + way, 0, 0, count))

    delays, lost = snapshot_delays(sent, seen, 1, 0, at)

    assert lost == 0
    assert all(abs(delay - way) < 1e-9 for delay in delays) and len(delays) == len(gaps)
