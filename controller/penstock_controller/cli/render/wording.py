"""Small pieces of text that the views share."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Set

from google.protobuf.message import Message

from penstock.api.control.v1 import admin_pb2, control_pb2
from penstock_controller.cli.quantities import age, rfc3339, to_seconds, wall_seconds
from penstock_controller.cli.render.style import Style, Tone

MESSAGE_CELLS_MAX = 100
"""Cells of a message in a table; JSON has all of it, and so has -o wide."""

ID_CHARACTERS_MAX = 24
"""Ids of deployments up to this length are shown whole."""
REPLICA_CHARACTERS_MAX = 32
"""The same for replicas, whose table has room."""
REPLICA_END = len("0a1b2c3d-x7k2q")

_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})

_STATE_TONES = {
    control_pb2.REPLICA_STATE_READY: Tone.GOOD,
    control_pb2.REPLICA_STATE_DRAINING: Tone.WARNING,
    control_pb2.REPLICA_STATE_FAILED: Tone.BAD,
    control_pb2.REPLICA_STATE_LOST: Tone.BAD,
}


def printable(text: str) -> str:
    """Replaces what would steer a terminal: messages come from models."""
    if text.isascii() and text.isprintable():
        return text
    return "".join("?" if unicodedata.category(c) in _UNSAFE else c for c in text)


def one_line(text: str, style: Style) -> str:
    """Returns the text in one line; cut unless the style is wide."""
    line = printable(" ".join(text.split()))
    return line if style.wide else style.cut(line, MESSAGE_CELLS_MAX)


def last_line(text: str, style: Style) -> str:
    """Returns the last line of a message: of a traceback, the one that names the error."""
    return one_line((text.strip().splitlines() or [""])[-1], style)


def headline(d: admin_pb2.DeploymentStatus) -> str:
    """Returns the line of a deployment's message that says what is wrong: of a failed build the first."""
    lines = d.message.strip().splitlines() or [""]
    return lines[0 if d.phase == "BUILD_FAILED" else -1]


def state_word(state: control_pb2.ReplicaState.ValueType) -> str:
    """Returns "ready" for REPLICA_STATE_READY, and so on; "starting" for a state that is not known."""
    if state == control_pb2.REPLICA_STATE_UNSPECIFIED:
        return "starting"
    return control_pb2.ReplicaState.Name(state).removeprefix("REPLICA_STATE_").lower()


def state_tone(state: control_pb2.ReplicaState.ValueType) -> Tone | None:
    return _STATE_TONES.get(state)


def used(active: int, capacity: int) -> str:
    """Returns "3/8 (37%)"."""
    return f"{active}/{capacity} ({100 * active // capacity}%)" if capacity else f"{active}/0"


def since(message: Message, field: str, now_wall: float) -> float | None:
    """Returns the seconds since a moment; None when it is absent. Negative when it is yet to come."""
    return now_wall - wall_seconds(getattr(message, field)) if message.HasField(field) else None


def seconds_in(message: Message, field: str) -> float | None:
    """Returns a duration in seconds; None when it is absent."""
    return to_seconds(getattr(message, field)) if message.HasField(field) else None


def moment(message: Message, field: str) -> str | None:
    """Returns a moment as RFC 3339; None when it is absent."""
    return rfc3339(getattr(message, field)) if message.HasField(field) else None


def age_or_dash(seconds: float | None) -> str:
    return "-" if seconds is None else age(seconds)


def due(seconds_ago: float | None) -> str:
    """Returns "in 4m", "now" once the moment is over, "-" when there is none."""
    if seconds_ago is None:
        return "-"
    return f"in {age(-seconds_ago)}" if seconds_ago < 0 else "now"


def decision_change(decision: admin_pb2.ScaleDecision, now_wall: float, style: Style) -> str:
    """Returns "↑2→3 14s ago"."""
    changed = style.change(decision.from_replicas, decision.to_replicas)
    return f"{changed} {age(now_wall - wall_seconds(decision.at))} ago"


def short_deployment_ids(ids: Iterable[str]) -> dict[str, str]:
    """Maps each id to its shortest beginning that no other id has, not shorter than ID_CHARACTERS_MAX.

    One of a chainlet that is longer loses its chain: "SpeechToText-0a1b2c3d". A beginning would say less.
    """
    known = set(ids)
    short = _shortest(known, lambda own, length: own[:length], ID_CHARACTERS_MAX)
    inner = Counter(map(without_chain, known))
    for own in known:
        if len(own) > ID_CHARACTERS_MAX and "." in own:
            alone = without_chain(own)
            short[own] = alone if alone and inner[alone] == 1 else own
    return short


def short_replica_ids(ids: Iterable[str]) -> dict[str, str]:
    """Maps each id to itself; one that is too long to its shortest end that no other id has.

    Replicas of a deployment differ only at the end of their ids. Of a chainlet's replica the chain is left out.
    """
    known = set(ids)

    def end(own: str, length: int) -> str:
        return own[-max(length, len(without_chain(own))) :] if "." in own else own[-length:]

    ends = _shortest(known, end, REPLICA_END)
    return {own: own if len(own) <= REPLICA_CHARACTERS_MAX else ends[own] for own in known}


def without_chain(own: str) -> str:
    """Returns "RandInt-0a1b2c3d" of "hello.RandInt-0a1b2c3d"; an id without a chain whole."""
    return own.partition(".")[2] if "." in own else own


def _shortest(ids: Set[str], part: Callable[[str, int], str], least: int) -> dict[str, str]:
    short: dict[str, str] = {}
    length = least
    while len(short) < len(ids):
        count = Counter(part(own, length) for own in ids)
        for own in ids - short.keys():
            # One that is whole stays so, also when another id begins with it.
            if count[part(own, length)] == 1 or len(own) <= length:
                short[own] = part(own, length)
        length += 1
    return short
