"""Pictures of runs: streams, replicas and the waiting line over time, one column per policy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from penstock_controller.simulate.recording import RunRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("png", "svg")

COLUMN_WIDTH, SINGLE_WIDTH, MARGIN_WIDTH, HEIGHT = 4.2, 7.0, 2.2, 7.2
"""Inches."""

TITLE_CHARACTERS = 12
"""Of a title, per inch."""

DOTS_PER_INCH = 110

# Colours that stay apart for colour-blind readers (after Okabe and Ito).
BLUE, GREEN, ORANGE, RED, GREY = "#0072b2", "#009e73", "#e69f00", "#d55e00", "#8c8c8c"


class PlotError(Exception):
    """The picture cannot be made; the text is for the user."""


def check(path: Path) -> None:
    """Finds out before a long run whether its picture can be made.

    Raises:
        PlotError: matplotlib is missing, or the name does not end in .png or .svg.
    """
    if path.suffix.removeprefix(".").lower() not in FORMATS:
        raise PlotError(f"{path}: a plot is written as PNG or SVG; end its name in .png or .svg")
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise PlotError(f"{path}: cannot be written; name a file in a folder that exists")
    try:
        import matplotlib
    except ImportError:
        raise PlotError("--plot needs matplotlib; install it with: pip install 'penstock[simulate]'") from None
    del matplotlib


def plot(path: Path, records: Sequence[RunRecord], workload: str) -> None:
    """Writes the picture of `records`, which had the same streams. `workload` says what those were.

    Raises:
        PlotError: See `check`; or the file cannot be written.
    """
    check(path)
    from matplotlib import rc_context

    # Text stays text, and the same runs give the same file.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "penstock", "font.size": 9.0}):
        figure = drawn(records, workload)
        kind = path.suffix.removeprefix(".").lower()
        metadata = {"Date": None} if kind == "svg" else {}
        try:
            figure.savefig(path, format=kind, dpi=DOTS_PER_INCH, metadata=metadata)
        except OSError as error:
            raise PlotError(f"{path}: {error.strerror or error}") from error


def drawn(records: Sequence[RunRecord], workload: str) -> Figure:
    """Draws the figure: a row each for streams, replicas and waiting; axes of a row share their scale."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    columns = len(records)
    width = MARGIN_WIDTH + max(SINGLE_WIDTH, COLUMN_WIDTH * columns)
    figure = Figure(figsize=(width, HEIGHT), layout="constrained")
    lines = title(records[0], workload).splitlines()
    figure.suptitle("\n".join(fill(line, int(width * TITLE_CHARACTERS)) for line in lines))
    grid = figure.subplots(3, columns, sharex=True, sharey="row", squeeze=False, height_ratios=(3, 3, 2))
    rows = (_draw_streams, _draw_replicas, _draw_waiting)
    labels = ("streams", "replicas", "waiting streams")
    for column, record in enumerate(records):
        scale, unit = time_unit(record.horizon_s)
        times = [at / scale for at in record.series.t]
        for row, draw in enumerate(rows):
            axes: Axes = grid[row][column]
            draw(axes, times, record)
            axes.grid(color="#e4e4e4", linewidth=0.6)
            axes.set_axisbelow(True)
            axes.spines[["top", "right"]].set_visible(False)
            if column == 0:
                axes.set_ylabel(labels[row])
            if column == columns - 1:
                axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)
        grid[0][column].set_title(subtitle(record), fontsize=9.5)
        grid[2][column].set_xlabel(f"time ({unit})")
        grid[2][column].set_xlim(0, record.horizon_s / scale)
    for row in range(len(rows)):
        grid[row][0].set_ylim(0, max(1.0, grid[row][0].get_ylim()[1]))
        grid[row][0].yaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    return figure


def title(record: RunRecord, workload: str) -> str:
    """What the runs have in common."""
    settings, scaling = record.settings, record.settings.scaling
    return (
        f"{workload}; seed {settings.seed}\n"
        f"{scaling.min_replica} to {scaling.max_replica} replicas of {scaling.max_concurrency} slots, "
        f"cold start {settings.cold_start} s, scale_down_delay {scaling.scale_down_delay_s:g} s, "
        f"queue_timeout {settings.queue_timeout_s:g} s, {settings.edges} edges"
    )


def subtitle(record: RunRecord) -> str:
    """The policy with the figures that matter most."""
    refused = record.refused_full + record.refused_waited
    return f"{record.policy}: {record.replica_s / 3600:.1f} replica-hours, {refused} rejected, {record.cut} cut"


def time_unit(horizon_s: float) -> tuple[float, str]:
    """Returns the seconds of a unit that suits the length of a run, and its name."""
    if horizon_s > 2 * 3600:
        return 3600.0, "hours"
    return (60.0, "minutes") if horizon_s > 300 else (1.0, "seconds")


def steps(times: Sequence[float], *rows: Sequence[int]) -> tuple[list[float], list[list[int]]]:
    """Keeps the moments at which any of `rows` changes, the first and the last: all that a line of steps shows."""
    kept = [
        index
        for index in range(len(times))
        if index in (0, len(times) - 1) or any(row[index] != row[index - 1] for row in rows)
    ]
    return [times[index] for index in kept], [[row[index] for index in kept] for row in rows]


def _draw_streams(axes: Axes, times: Sequence[float], record: RunRecord) -> None:
    slots = record.settings.scaling.max_concurrency
    at, (ready,) = steps(times, record.series.ready)
    free = [count * slots for count in ready]
    axes.fill_between(at, free, step="post", color=BLUE, alpha=0.13, linewidth=0, label="ready slots")
    at, (active,) = steps(times, record.series.active_streams)
    axes.plot(at, active, drawstyle="steps-post", color=BLUE, linewidth=1.1, label="open streams")


def _draw_replicas(axes: Axes, times: Sequence[float], record: RunRecord) -> None:
    series = record.series
    at, rows = steps(times, series.ready, series.starting, series.draining)
    axes.stackplot(
        at,
        *rows,
        labels=("ready", "starting", "draining"),
        colors=(GREEN, ORANGE, GREY),
        alpha=0.55,
        step="post",
        linewidth=0,
    )
    at, (target,) = steps(times, series.target)
    axes.plot(at, target, drawstyle="steps-post", color="black", linewidth=0.9, label="target")


def _draw_waiting(axes: Axes, times: Sequence[float], record: RunRecord) -> None:
    at, (waiting,) = steps(times, record.series.waiting)
    axes.fill_between(at, waiting, step="post", color=RED, alpha=0.7, linewidth=0, label="waiting")
