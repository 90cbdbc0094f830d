"""`controller events`."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from penstock.api.control.v1 import admin_pb2, admin_pb2_grpc
from penstock_controller.cli import exit_status
from penstock_controller.cli.arguments import add_command, duration, whole
from penstock_controller.cli.connection import add_connection, connected
from penstock_controller.cli.failures import CommandError
from penstock_controller.cli.following import follow
from penstock_controller.cli.presentation import has_unicode
from penstock_controller.cli.quantities import counted, rfc3339
from penstock_controller.cli.recording import record
from penstock_controller.cli.render.style import Style
from penstock_controller.cli.render.wording import one_line
from penstock_controller.cli.table import display_width, line

LIMIT_DEFAULT = 100
LIMIT_FOLLOWING = 10
LIMIT_MAX = 10_000
DURATION_S_MAX = 30 * 86400.0

_TITLES = ("SEQ", "AT", "EVENT", "SUBJECT", "TEXT")


def add_parsers(commands: Any) -> None:
    parser = add_command(
        commands,
        "events",
        help="show what has happened, follow what happens, record the load",
        description=(
            "Shows events, the oldest first. -f goes on with those to come; --record writes the load of deployments "
            "to a file for `controller simulate`. Both go on until Ctrl-C (exit status 0) or --duration, and over "
            "restarts of the controller."
        ),
        examples=[
            "controller events",
            "controller events -f --deployment echo",
            "controller events --after 1200 --limit 500 -o json",
            "controller events --record load.jsonl --duration 1h",
        ],
    )
    parser.add_argument("-f", "--follow", action="store_true", help="go on with the events to come")
    parser.add_argument("--deployment", default="", metavar="D", help="only what is about this one: id or name")
    parser.add_argument(
        "--limit",
        type=whole(1, LIMIT_MAX),
        metavar="N",
        help=f"most events of the past, the newest ones, 1 to {LIMIT_MAX}; "
        f"default: {LIMIT_DEFAULT}, with -f {LIMIT_FOLLOWING}; after --after {LIMIT_MAX}",
    )
    parser.add_argument(
        "--after", type=whole(0, 2**63 - 1), metavar="SEQ", help="only events with a higher number in column SEQ"
    )
    parser.add_argument(
        "-o",
        "--output",
        choices=("table", "wide", "json"),
        default="table",
        help="wide: whole texts; json: one object per line; default: table",
    )
    parser.add_argument("--no-headers", action="store_true", help="no line of titles")
    parser.add_argument(
        "--record", metavar="FILE", help="write the load to this new file instead of showing events; - is the output"
    )
    parser.add_argument(
        "--duration",
        type=duration(0.1, DURATION_S_MAX),
        metavar="SECONDS",
        help="end -f or --record after this time (60, 10m, 1h)",
    )
    add_connection(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, env: Mapping[str, str]) -> int:
    if arguments.record is not None and (arguments.follow or arguments.limit or arguments.after is not None):
        raise CommandError("--record may not stand beside -f, --limit or --after", exit_status.USAGE)
    if arguments.duration is not None and not arguments.follow and arguments.record is None:
        raise CommandError("--duration is for -f and --record", exit_status.USAGE)
    if arguments.record is None and not arguments.follow:
        with connected(arguments, env) as stub:
            answer = stub.ListEvents(_request(arguments, arguments.after or 0), timeout=arguments.timeout)
        for text in _lines(arguments, env).lines(answer.events):
            print(text)
        return exit_status.OK
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return record(arguments, env) if arguments.record is not None else _follow(arguments, env)
    finally:
        signal.signal(signal.SIGTERM, before)


def _request(arguments: argparse.Namespace, after: int) -> admin_pb2.ListEventsRequest:
    limit = arguments.limit
    if limit is None:
        past = LIMIT_FOLLOWING if arguments.follow else LIMIT_DEFAULT
        limit = LIMIT_MAX if arguments.after is not None else past
    return admin_pb2.ListEventsRequest(after_sequence=after, limit=limit, deployment=arguments.deployment)


def _follow(arguments: argparse.Namespace, env: Mapping[str, str]) -> int:
    last = arguments.after or 0
    first = True

    def attempt(stub: admin_pb2_grpc.AdminServiceStub, left_s: float | None) -> Iterator[Sequence[admin_pb2.Event]]:
        request = _request(arguments, last)
        if not first:
            request.limit = LIMIT_MAX
        answer_s = arguments.timeout if left_s is None else min(arguments.timeout, left_s)
        yield stub.ListEvents(request, timeout=answer_s).events
        watch = admin_pb2.WatchEventsRequest(after_sequence=last, deployment=arguments.deployment)
        for response in stub.WatchEvents(watch, timeout=left_s):
            yield response.events

    shown = _lines(arguments, env)
    try:
        for events in follow(arguments, env, attempt, duration_s=arguments.duration, tell=tell):
            new = [event for event in events if event.sequence > last]
            if new and not first and not arguments.deployment and new[0].sequence > last + 1:
                tell(f"{counted(new[0].sequence - last - 1, 'event')} in between are no longer kept")
            first = False
            last = max([last, *(event.sequence for event in new)])
            for text in shown.lines(new):
                print(text, flush=True)
    except KeyboardInterrupt:
        pass
    return exit_status.OK


def _lines(arguments: argparse.Namespace, env: Mapping[str, str]) -> EventLines:
    if arguments.output == "json":
        return EventLines(None)
    return EventLines(
        Style(unicode=has_unicode(env, sys.stdout), wide=arguments.output == "wide", headers=not arguments.no_headers)
    )


def tell(text: str) -> None:
    print(f"controller: {text}", file=sys.stderr, flush=True)


class EventLines:
    """Events as lines, whose columns grow with what comes."""

    def __init__(self, style: Style | None) -> None:
        """
        Args:
            style: Of the table; None gives JSON.
        """
        self._style = style
        self._titles_due = style is not None and style.headers
        self._widths = [display_width(title) for title in _TITLES]

    def lines(self, events: Iterable[admin_pb2.Event]) -> list[str]:
        if self._style is None:
            return [_json(event) for event in events]
        rows: list[Sequence[str]] = [_cells(event, self._style) for event in events]
        if rows and self._titles_due:
            rows.insert(0, _TITLES)
            self._titles_due = False
        for row in rows:
            self._widths = [max(width, display_width(cell)) for width, cell in zip(self._widths, row, strict=True)]
        return [line(row, [*self._widths[:-1], 0]) for row in rows]


def _cells(event: admin_pb2.Event, style: Style) -> tuple[str, ...]:
    subject = event.replica_id or event.deployment_id or "-"
    return str(event.sequence), rfc3339(event.at), event.kind, subject, one_line(event.text, style) or "-"


def _json(event: admin_pb2.Event) -> str:
    content = {
        "sequence": event.sequence,
        "at": rfc3339(event.at),
        "kind": event.kind,
        "deployment_id": event.deployment_id or None,
        "replica_id": event.replica_id or None,
        "text": event.text,
    }
    return json.dumps(content, ensure_ascii=False)
