"""`controller streams` and `controller streams close`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from penstock.api.control.v1 import admin_pb2, admin_pb2_grpc, control_pb2
from penstock.close_codes import REASON_BYTES_MAX
from penstock_controller.cli import exit_status
from penstock_controller.cli.arguments import add_command, whole
from penstock_controller.cli.connection import add_connection, connected
from penstock_controller.cli.consent import add_consent, ask
from penstock_controller.cli.failures import CommandError
from penstock_controller.cli.presentation import (
    TABLES,
    add_presentation,
    is_terminal,
    style_of,
    terminal_size,
    write,
    write_document,
)
from penstock_controller.cli.quantities import counted
from penstock_controller.cli.render.streams import (
    COLUMNS,
    as_document,
    render_preview,
    render_rows,
    render_table,
)
from penstock_controller.cli.render.style import Style

LIMIT_DEFAULT = 1000
LIMIT_MAX = 10_000
"""Most streams that the controller lists or closes at once."""

CLOSE_CODE_DEFAULT = 1012
CLOSE_CODES = frozenset({1000, 1001, 1008, 1011, 1012, 1013})
"""Those below 3000 that a client may be given: the others mean something that did not happen."""


def add_parsers(commands: Any) -> None:
    parser = add_command(
        commands,
        "streams",
        help="list open streams, and close some",
        description=(
            "Lists the open streams, the oldest first, as the edges tell them. SILENT is the time since the last "
            "message either way. Exit status 1 when an edge did not answer, so that its streams are missing."
        ),
        examples=[
            "controller streams",
            "controller streams --deployment echo --limit 20 -o wide",
            "controller streams -o json",
            "controller streams close STREAM",
        ],
    )
    _add_filters(parser, inherited=False)
    parser.add_argument(
        "--limit",
        type=whole(1, LIMIT_MAX),
        default=LIMIT_DEFAULT,
        metavar="N",
        help=f"most streams to list, 1 to {LIMIT_MAX}; default: %(default)s",
    )
    add_presentation(parser)
    add_connection(parser)
    parser.set_defaults(run=run_list)
    _add_close(parser.add_subparsers(metavar="close", title="subcommand"))


def _add_close(commands: Any) -> None:
    parser = add_command(
        commands,
        "close",
        help="end streams with a close code",
        description=(
            "Ends streams: their clients get the close code and the reason, their handlers learn that the client has "
            "left. Asks before it ends more than one; without a terminal that needs --yes. Exit status 4 when one of "
            "the named streams is not open."
        ),
        examples=[
            "controller streams close STREAM --reason 'moved to another region'",
            "controller streams close --deployment echo --code 1013 --dry-run",
            "controller streams close --replica echo-1a2b3c4d-x7k2q --yes",
        ],
    )
    parser.add_argument("streams", nargs="*", metavar="STREAM", help="id of a stream, or an unambiguous beginning")
    _add_filters(parser, inherited=True)
    parser.add_argument(
        "--code",
        type=_close_code,
        default=CLOSE_CODE_DEFAULT,
        help="1000, 1001, 1008, 1011, 1012, 1013 or 3000 to 4999; default: %(default)s (come back at once)",
    )
    parser.add_argument(
        "--reason", type=_reason, default="", metavar="TEXT", help=f"for the clients, at most {REASON_BYTES_MAX} bytes"
    )
    add_consent(parser)
    add_connection(parser, inherited=True)
    parser.set_defaults(run=run_close)


def _add_filters(parser: argparse.ArgumentParser, *, inherited: bool) -> None:
    absent = argparse.SUPPRESS if inherited else ""
    parser.add_argument("--deployment", default=absent, metavar="D", help="only those of this deployment: id or name")
    parser.add_argument("--replica", default=absent, metavar="R", help="only those on this replica")


def _close_code(text: str) -> int:
    code = int(text) if text.isascii() and text.isdigit() else 0
    if code not in CLOSE_CODES and not 3000 <= code <= 4999:
        raise argparse.ArgumentTypeError(
            f"must be {', '.join(map(str, sorted(CLOSE_CODES)))} or 3000 to 4999, got {text!r}"
        )
    return code


def _reason(text: str) -> str:
    # What came as bytes that are not UTF-8 stands in the text as lone surrogates, which no frame can carry.
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > REASON_BYTES_MAX or any(0xD800 <= ord(c) <= 0xDFFF for c in text):
        raise argparse.ArgumentTypeError(f"must be at most {REASON_BYTES_MAX} bytes of UTF-8, got {size}")
    return text


def run_list(arguments: argparse.Namespace, env: Mapping[str, str]) -> int:
    style = style_of(arguments, env, sortable={column.title for column in COLUMNS})
    with connected(arguments, env) as stub:
        answer = _listed(stub, arguments, arguments.limit)
    if arguments.output in TABLES:
        write(render_table(answer, style))
    else:
        write_document(as_document(answer), arguments.output)
    return _tell_silent(answer.silent_edges, "its streams are missing")


def run_close(arguments: argparse.Namespace, env: Mapping[str, str]) -> int:
    if bool(arguments.streams) == bool(arguments.deployment or arguments.replica):
        raise CommandError(
            "name the streams to close, or choose them with --deployment or --replica", exit_status.USAGE
        )
    with connected(arguments, env) as stub:
        open_streams = _listed(stub, arguments, LIMIT_MAX)
        chosen, unknown = choose(arguments.streams, open_streams)
        silent = _tell_silent(open_streams.silent_edges, "its streams cannot be closed")
        number = counted(len(chosen), "stream")
        if arguments.dry_run:
            if chosen:
                write(render_rows(chosen, Style()))
            print(f"{number} would be ended with {arguments.code}")
            return max(silent, _tell_unknown(unknown))
        if len(chosen) > 1:
            if not arguments.yes:
                width = terminal_size(sys.stderr)[0] if is_terminal(sys.stderr) else None
                write(render_preview(chosen, Style(width=width)), sys.stderr)
            ask(f"{number} will be ended with {arguments.code}.", arguments)
        if not chosen:
            print("no stream was closed")
            return max(silent, _tell_unknown(unknown))
        answer = stub.CloseStreams(
            admin_pb2.CloseStreamsRequest(
                stream_ids=[stream.stream_id for stream in chosen], close_code=arguments.code, reason=arguments.reason
            ),
            timeout=arguments.timeout,
        )
    print(f"closed {counted(len(answer.closed), 'stream')} with {arguments.code}")
    if answer.unknown:
        print(f"{counted(len(answer.unknown), 'stream')} had ended before", file=sys.stderr)
    if not arguments.streams and open_streams.matching > len(open_streams.streams):
        left = open_streams.matching - len(open_streams.streams)
        print(f"{counted(left, 'more stream')} matched: run it again", file=sys.stderr)
    silent = max(silent, _tell_silent(answer.silent_edges, "what it closed is not known"))
    return max(silent, _tell_unknown(unknown))


def choose(
    wanted: Sequence[str], found: admin_pb2.ListStreamsResponse
) -> tuple[list[control_pb2.StreamView], list[str]]:
    """Returns the streams that `wanted` names by id or beginning (all when it is empty), and the names of none.

    Raises:
        CommandError: A beginning fits several.
    """
    if not wanted:
        return list(found.streams), []
    by_id = {stream.stream_id: stream for stream in found.streams}
    chosen: dict[str, control_pb2.StreamView] = {}
    unknown = []
    for name in wanted:
        fits = [name] if name in by_id else sorted(i for i in by_id if name and i.startswith(name))
        if len(fits) > 1:
            raise CommandError(f"{name!r} is the beginning of {len(fits)} streams: {_some(fits)}", exit_status.USAGE)
        if fits:
            chosen[fits[0]] = by_id[fits[0]]
        elif found.matching > len(found.streams):
            # It may be one of those beyond the limit; the edges know.
            chosen[name] = control_pb2.StreamView(stream_id=name)
        else:
            unknown.append(name)
    return list(chosen.values()), unknown


def _listed(
    stub: admin_pb2_grpc.AdminServiceStub, arguments: argparse.Namespace, limit: int
) -> admin_pb2.ListStreamsResponse:
    request = admin_pb2.ListStreamsRequest(deployment=arguments.deployment, replica=arguments.replica, limit=limit)
    answer: admin_pb2.ListStreamsResponse = stub.ListStreams(request, timeout=arguments.timeout)
    return answer


def _tell_silent(edges: Sequence[str], consequence: str) -> int:
    for edge in edges:
        print(f"controller: edge {edge} did not answer in time: {consequence}", file=sys.stderr)
    return exit_status.FAILED if edges else exit_status.OK


def _tell_unknown(names: Sequence[str]) -> int:
    for name in names:
        print(f"controller: no open stream {name!r}; see: controller streams", file=sys.stderr)
    return exit_status.NOT_FOUND if names else exit_status.OK


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
