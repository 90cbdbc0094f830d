"""What goes on without the controller, for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from penstock_controller.cli.quantities import counted
from penstock_controller.cli.render.documents import Document, document
from penstock_controller.cli.render.grid import Cell, Column, grid
from penstock_controller.cli.render.style import Style, Tone
from penstock_controller.cli.render.wording import used

DOWN = "CONTROLLER DOWN"

_TONES = {"admits streams": Tone.GOOD, "does not answer": Tone.BAD}


@dataclass(frozen=True, slots=True)
class LivingRunner:
    """A runner whose process lives, as far as it can be known without the controller."""

    replica_id: str
    deployment_id: str
    pid: int
    address: str
    """Where its trunk listens; empty before it does."""
    admits: bool | None
    """Whether it takes new streams, as it says itself; None when it does not answer."""
    active_streams: int | None = None
    """None when it has not told."""
    stream_capacity: int | None = None


def render_offline(runners: Sequence[LivingRunner], state_dir: str, *, style: Style) -> str:
    """Returns what still serves and what to do, without a newline at the end."""
    down = style.paint(DOWN, Tone.BAD)
    restart = f"Start the controller again with: controller serve --state-dir {state_dir}"
    if not runners:
        return f"{down}: no runner of {state_dir} is alive.\n{restart}"
    streams = _streams(runners)
    noun = counted(len(runners), "runner")
    if streams is None:
        first = f"{down}: {noun} alive, and still serving what {'it has' if len(runners) == 1 else 'they have'}"
    else:
        first = f"{down}: {noun} still serving {counted(streams, 'stream')}"
    columns = (Column("REPLICA"), Column("STATE"), Column("STREAMS"), Column("PID"), Column("ADDRESS"))
    rows = [
        (
            r.replica_id,
            Cell(_state(r), _TONES.get(_state(r))),
            "-" if r.active_streams is None else used(r.active_streams, r.stream_capacity or 0),
            str(r.pid),
            r.address or "-",
        )
        for r in runners
    ]
    return f"{first}\n\n{grid(columns, rows, style).text}\n\n{restart}"


def offline_document(runners: Sequence[LivingRunner], state_dir: str | None, error: str) -> Document:
    """Returns what is known for programs; `state_dir` None means that nothing could be looked at."""
    return document(
        "ControllerDown",
        {
            "error": error,
            "state_dir": state_dir,
            "active_streams": _streams(runners),
            "replicas": [
                {
                    "id": r.replica_id,
                    "deployment_id": r.deployment_id,
                    "pid": r.pid,
                    "address": r.address or None,
                    "admits": r.admits,
                    "streams": {"active": r.active_streams, "capacity": r.stream_capacity},
                }
                for r in runners
            ],
        },
    )


def _streams(runners: Sequence[LivingRunner]) -> int | None:
    """Returns the streams of all runners; None when one of them has not told."""
    told = [r.active_streams for r in runners if r.active_streams is not None]
    return sum(told) if len(told) == len(runners) else None


def _state(r: LivingRunner) -> str:
    if not r.address:
        return "does not listen yet"
    if r.admits is None:
        return "does not answer"
    return "admits streams" if r.admits else "admits none"
