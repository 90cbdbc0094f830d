from __future__ import annotations

import pytest

from penstock.weights.progress import Progress, SharedProgress, duration_text, size_text

MIB = 1024 * 1024


def test_a_line_tells_bytes_total_rate_and_time_left() -> None:
    progress = Progress("weights[0]", total=100 * MIB, now=0.0)

    assert progress.add(10 * MIB, 0.5) is None
    assert progress.add(10 * MIB, 1.0) == "weights[0]: 20.0 MiB of 100 MiB (20 %), 20.0 MiB/s, 4.0 s left"


def test_lines_are_a_second_apart() -> None:
    progress = Progress("x", total=100, now=0.0)

    lines = [progress.add(1, tick / 10) for tick in range(1, 31)]

    assert [index for index, line in enumerate(lines, 1) if line] == [10, 20, 30]


def test_bytes_that_were_there_do_not_make_the_rate_look_good() -> None:
    progress = Progress("x", total=100 * MIB, now=0.0)
    progress.skip(50 * MIB)

    assert progress.add(5 * MIB, 1.0) == "x: 55.0 MiB of 100 MiB (55 %), 5.0 MiB/s, 9.0 s left"


def test_the_rate_is_that_of_the_last_seconds() -> None:
    progress = Progress("x", total=None, now=0.0)
    for second in range(1, 21):
        progress.add(100 * MIB, float(second))

    lines = [progress.add(MIB, float(second)) for second in range(21, 41)]

    assert (lines[-1] or "").endswith(" 1.0 MiB/s")


def test_nothing_received_is_stalled() -> None:
    progress = Progress("x", total=10, now=0.0)

    assert progress.add(0, 2.0) == "x: 0 B of 10 B (0 %), 0 B/s, stalled"


def test_an_unknown_total_has_no_percentage_and_more_than_announced_no_more_than_all() -> None:
    assert Progress("x", total=None, now=0.0).add(2048, 1.0) == "x: 2.0 KiB, 2.0 KiB/s"
    line = Progress("x", total=10, now=0.0).add(20, 1.0)
    assert line is not None
    assert "(100 %)" in line


def test_the_last_line_tells_the_whole() -> None:
    progress = Progress("x", total=4 * MIB, now=0.0)
    progress.add(4 * MIB, 2.0)

    assert progress.last(2.0) == "x: 4.0 MiB complete in 2.0 s, 2.0 MiB/s"
    assert Progress("x", total=0, now=0.0).last(0.0) == "x: 0 B complete in 0.0 s"


def test_shared_progress_reports_its_lines() -> None:
    now = [0.0]
    lines: list[str] = []
    progress = SharedProgress("x", total=20, report=lines.append, clock=lambda: now[0])

    progress.skip(5)
    now[0] = 1.0
    progress.add(5)
    progress.add(10)
    progress.finish()

    assert lines == ["x: 10 B of 20 B (50 %), 5 B/s, 2.0 s left", "x: 20 B complete in 1.0 s, 15 B/s"]


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1.5 * 1024**3, "1.5 GiB"), (200 * 1024**2, "200 MiB")],
)
def test_sizes_are_for_people(count: float, text: str) -> None:
    assert size_text(count) == text
    assert size_text(1024**6) == "1024 PiB"


def test_durations_are_for_people() -> None:
    assert [duration_text(seconds) for seconds in (0.04, 12.3, 75, 7260)] == [
        "0.0 s",
        "12 s",
        "1 min 15 s",
        "2 h 1 min",
    ]
