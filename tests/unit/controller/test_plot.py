from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_controller.scaling.config import ScalingSettings
from penstock_controller.simulate.plot import PlotError, check, plot, steps, time_unit
from penstock_controller.simulate.recording import RunRecord, Series
from penstock_controller.simulate.settings import SimulationSettings


def record(policy: str, *, horizon_s: float = 14400.0, busy: bool = True) -> RunRecord:
    moments = 50
    active = [(step * 7 % 40) * busy for step in range(moments)]
    ready = [1 + count // 8 for count in active]
    series = Series(
        t=[step * horizon_s / moments for step in range(moments)],
        active_streams=active,
        waiting=[max(0, count - 30) for count in active],
        ready=ready,
        starting=[step % 2 for step in range(moments)],
        draining=[0] * moments,
        target=ready,
    )
    settings = SimulationSettings(
        scaling=ScalingSettings(min_replica=1, max_replica=40, max_concurrency=8), seed=1234567
    )
    return RunRecord(
        policy=policy, settings=settings, horizon_s=horizon_s, series=series, replica_s=7200.0, cut=3, refused_full=5
    )


def texts(path: Path) -> str:
    """All that is written in an SVG."""
    return " ".join(element.text or "" for element in ElementTree.parse(path).iter() if element.tag.endswith("text"))


def test_svg_names_axes_with_units_series_settings_and_policies(tmp_path: Path) -> None:
    path = tmp_path / "runs.svg"

    plot(path, [record("penstock"), record("kpa")], "sine 0.05 to 0.2/s")

    found = texts(path)
    for label in ("streams", "replicas", "waiting streams", "time (hours)"):
        assert label in found
    for label in ("ready slots", "open streams", "ready", "starting", "draining", "target", "waiting"):
        assert label in found
    assert "sine 0.05 to 0.2/s; seed 1234567" in found
    assert "1 to 40 replicas of 8 slots" in found
    assert "penstock: 2.0 replica-hours, 5 rejected, 3 cut" in found
    assert found.count("time (hours)") == 2


def test_png_is_a_picture_that_grows_with_the_policies(tmp_path: Path) -> None:
    sizes = []
    for columns in (2, 4):
        path = tmp_path / f"{columns}.PNG"
        plot(path, [record("penstock")] * columns, "step")
        content = path.read_bytes()
        assert content.startswith(b"\x89PNG\r\n\x1a\n")
        sizes.append((int.from_bytes(content[16:20]), int.from_bytes(content[20:24])))

    assert sizes[1][0] > sizes[0][0] > sizes[0][1] > 500


def test_same_runs_give_the_same_file(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        plot(tmp_path / name, [record("penstock")], "step")

    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_run_in_which_nothing_happens_can_be_drawn(tmp_path: Path) -> None:
    plot(tmp_path / "idle.svg", [record("penstock", busy=False)], "poisson 0/s")

    assert "waiting streams" in texts(tmp_path / "idle.svg")


@pytest.mark.parametrize("name", ["runs.pdf", "runs", "no/such/folder/runs.svg"])
def test_name_that_cannot_be_written_is_refused_before_the_run(name: str, tmp_path: Path) -> None:
    with pytest.raises(PlotError, match="runs") as refusal:
        check(tmp_path / name)

    assert "name" in str(refusal.value)


def test_missing_library_is_said_with_the_way_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "matplotlib":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)

    with pytest.raises(PlotError, match=r"pip install 'penstock\[simulate\]'"):
        check(tmp_path / "runs.svg")


@pytest.mark.parametrize(("horizon_s", "unit"), [(14400, "hours"), (3600, "minutes"), (60, "seconds")])
def test_time_is_in_a_unit_that_suits_the_run(horizon_s: float, unit: str) -> None:
    assert time_unit(horizon_s)[1] == unit


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1)), min_size=1, max_size=40))
def test_left_out_moments_change_no_line_of_steps(rows: list[tuple[int, int]]) -> None:
    times = [float(moment) for moment in range(len(rows))]
    first, second = [row[0] for row in rows], [row[1] for row in rows]

    kept, (one, two) = steps(times, first, second)

    shown = dict(zip(kept, zip(one, two, strict=True), strict=True))
    value = rows[0]
    for at, row in zip(times, rows, strict=True):
        value = shown.get(at, value)
        assert value == row
    assert kept[-1] == times[-1]
