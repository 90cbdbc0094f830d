"""Workloads from files: arrivals as CSV, and the load that a controller has recorded. Pure; the caller reads the file.

A recorded load (`controller events --record`) holds totals, not streams. Between two lines so many streams as were
admitted arrive at moments that are drawn evenly, and so many as ended end then, each a random one of those that are
open. Streams that were refused arrive as well, with the duration of another one, since other settings might take them.
What is open at the end of the record lasts until the end of the run.
"""

from __future__ import annotations

import json
import math
from array import array
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from penstock_controller.simulate.workload import STREAMS_MAX, Streams, WorkloadError

if TYPE_CHECKING:
    from random import Random

TRACE_KIND = "penstock-load-trace"
TRACE_VERSION = 1
CSV_HEADER = "arrived_at_s,duration_s"


@dataclass(frozen=True, slots=True)
class CsvWorkload:
    """Streams whose arrivals and durations are given; the same for every seed."""

    text: str
    horizon_s: float
    arrived_at: array[float]
    duration: array[float]

    def streams(self, random: Random) -> Streams:
        del random
        return Streams(self.arrived_at, self.duration, self.horizon_s)


def read_csv(lines: Iterable[str], name: str, horizon_s: float | None = None) -> CsvWorkload:
    """Reads lines "arrived_at_s,duration_s"; a header and empty lines are passed over. Need not be sorted.

    Args:
        horizon_s: length of the run; without it, until the last stream has ended. Later arrivals are left out.

    Raises:
        WorkloadError: A line is wrong, or there are too many or none.
    """
    rows: list[tuple[float, float]] = []
    for number, line in enumerate(lines, 1):
        fields = line.strip().split(",")
        if fields == [""] or (not rows and line.strip().replace(" ", "") == CSV_HEADER):
            continue
        try:
            arrived, duration = map(float, fields)
        except ValueError:
            raise WorkloadError(f"{name}, line {number}: must be {CSV_HEADER}, got {line.strip()[:80]!r}") from None
        if not (0 <= arrived < math.inf and 0 <= duration < math.inf):
            raise WorkloadError(f"{name}, line {number}: times must be seconds from 0 on, got {line.strip()[:80]!r}")
        if len(rows) >= STREAMS_MAX:
            raise WorkloadError(f"{name}: more than {STREAMS_MAX:,} streams; give a shorter trace")
        rows.append((arrived, duration))
    if not rows:
        raise WorkloadError(f"{name}: holds no stream; each line must be {CSV_HEADER}")
    end = max(arrived + duration for arrived, duration in rows) if horizon_s is None else horizon_s
    rows = sorted(row for row in rows if row[0] <= end)
    text = f"{name}, {len(rows):,} streams, {end / 3600:.3g} h"
    return CsvWorkload(text, end, array("d", (row[0] for row in rows)), array("d", (row[1] for row in rows)))


@dataclass(frozen=True, slots=True)
class LoadLine:
    """What changed since the line before: streams that arrived and ended between `begin_s` and `end_s`."""

    begin_s: float
    end_s: float
    arrivals: int
    refusals: int
    ends: int


@dataclass(frozen=True, slots=True)
class RecordedWorkload:
    """The load of one deployment that was recorded."""

    text: str
    horizon_s: float
    lines: tuple[LoadLine, ...]
    cold_starts: tuple[float, ...] = ()
    """Seconds that starts took while it was recorded."""
    autoscaling: dict[str, Any] = field(default_factory=dict)
    """The settings at the end of the record, by the names of config.yaml."""

    def streams(self, random: Random) -> Streams:
        born: list[float] = []
        died: list[float] = []
        alive: list[int] = []
        refused: list[float] = []
        for line in self.lines:
            if line.begin_s > self.horizon_s:
                break
            length = line.end_s - line.begin_s
            arrivals = deque(sorted(line.begin_s + length * random.random() for _ in range(line.arrivals)))
            ends = deque(sorted(line.begin_s + length * random.random() for _ in range(line.ends)))
            refused.extend(line.begin_s + length * random.random() for _ in range(line.refusals))
            while arrivals or ends:
                if arrivals and (not ends or not alive or arrivals[0] <= ends[0]):
                    alive.append(len(born))
                    born.append(arrivals.popleft())
                    died.append(math.inf)
                elif alive:
                    chosen = random.randrange(len(alive))
                    alive[chosen], alive[-1] = alive[-1], alive[chosen]
                    stream = alive.pop()
                    died[stream] = max(born[stream], ends.popleft())
                else:
                    break
        beyond = self.horizon_s + 1.0
        durations = [min(end, beyond) - begin for begin, end in zip(born, died, strict=True)]
        complete = (
            [length for length, end in zip(durations, died, strict=True) if end < math.inf] or durations or [60.0]
        )
        rows = list(zip(born, durations, strict=True))
        rows += [(at, random.choice(complete)) for at in refused]
        rows = sorted(row for row in rows if row[0] <= self.horizon_s)
        return Streams(array("d", (row[0] for row in rows)), array("d", (row[1] for row in rows)), self.horizon_s)


def read_trace(
    lines: Iterable[str], name: str, deployment: str | None = None, horizon_s: float | None = None
) -> RecordedWorkload:
    """Reads what `controller events --record` has written; a last line without its end is passed over.

    Args:
        deployment: id or name of a deployment; may be left out when the record holds one only.

    Raises:
        WorkloadError: It is no such record, or it is not clear which deployment is meant.
    """
    documents = list(_documents(lines, name))
    if not documents or documents[0].get("kind") != TRACE_KIND:
        raise WorkloadError(f"{name}: is no load trace; its first line must be of kind {TRACE_KIND}")
    if documents[0].get("version") != TRACE_VERSION:
        raise WorkloadError(f"{name}: has version {documents[0].get('version')}, this program reads {TRACE_VERSION}")
    try:
        loads = [d for d in documents if d["kind"] == "load"]
        chosen = _choose(loads, name, deployment)
        end = max((float(d["t"]) for d in documents[1:] if d["kind"] in ("load", "gap", "end")), default=0.0)
        rows = _rows(documents, chosen)
        own = [d for d in loads if d["deployment"] == chosen]
        cold_starts = tuple(float(value) for d in own for value in d.get("cold_starts", ()))
    except WorkloadError:
        raise
    except (KeyError, TypeError, ValueError) as exc:
        raise WorkloadError(f"{name}: a line lacks a value or has a wrong one ({type(exc).__name__}: {exc})") from exc
    if sum(row.arrivals + row.refusals for row in rows) > STREAMS_MAX:
        raise WorkloadError(f"{name}: more than {STREAMS_MAX:,} streams; record a shorter time")
    autoscaling: dict[str, Any] = next((d["autoscaling"] for d in reversed(own) if d.get("autoscaling")), {})
    length = end if horizon_s is None else horizon_s
    if length <= 0:
        raise WorkloadError(f"{name}: covers no time; record for longer")
    text = f"{name} ({chosen}), {length / 3600:.3g} h"
    return RecordedWorkload(text, length, tuple(rows), cold_starts, dict(autoscaling))


def _documents(lines: Iterable[str], name: str) -> Iterable[dict[str, Any]]:
    for number, line in enumerate(lines, 1):
        if not line.endswith("\n"):
            return
        try:
            document = json.loads(line)
        except ValueError:
            raise WorkloadError(f"{name}, line {number}: is no JSON") from None
        if not isinstance(document, dict) or "kind" not in document:
            raise WorkloadError(f'{name}, line {number}: must be an object with "kind"')
        yield document


def _choose(loads: list[dict[str, Any]], name: str, wanted: str | None) -> str:
    found = {str(d["deployment"]): str(d.get("name", "")) for d in loads}
    if not found:
        raise WorkloadError(f"{name}: holds no load of a deployment")
    matching = [key for key, text in found.items() if wanted is None or wanted in (key, text)]
    if len(matching) == 1:
        return matching[0]
    known = ", ".join(f"{key} ({found[key]})" if found[key] else key for key in sorted(found))
    if wanted is None or matching:
        raise WorkloadError(f"{name}: holds several deployments, choose one with --deployment: {known}")
    raise WorkloadError(f"{name}: holds no deployment {wanted!r}; there are: {known}")


def _rows(documents: list[dict[str, Any]], deployment: str) -> list[LoadLine]:
    rows: list[LoadLine] = []
    at, active, admitted, refused = 0.0, 0, 0, 0
    is_first, restarted_until = True, None
    for document in documents:
        if document["kind"] == "gap" and document.get("restarted"):
            restarted_until = float(document["until_t"])
        if document["kind"] != "load" or document["deployment"] != deployment:
            continue
        now, open_now = float(document["t"]), int(document["active"])
        if is_first:
            # Streams that were open when the record began arrive at its beginning.
            arrivals, ends = open_now, 0
            at = now
        elif restarted_until is not None:
            # What happened meanwhile is not known; the difference happens where the record goes on.
            arrivals, ends, at = max(0, open_now - active), max(0, active - open_now), restarted_until
        else:
            arrivals = max(0, int(document["admitted_total"]) - admitted)
            ends = max(0, arrivals - (open_now - active))
        refusals = 0 if is_first else max(0, int(document["refused_total"]) - refused)
        rows.append(LoadLine(min(at, now), now, arrivals, refusals, ends))
        at, active = now, open_now
        admitted, refused = int(document["admitted_total"]), int(document["refused_total"])
        is_first, restarted_until = False, None
    return rows
