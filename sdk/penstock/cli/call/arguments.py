"""Command line of `penstock call`."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from penstock.cli.connection import add_connection

_EPILOG = """\
examples:
  penstock call summer '{"numbers": [1, 2]}'      ask a model that answers requests
  penstock call summer --file input.json
  penstock call story '{"topic": "rain"}' --stream  show the answer as it comes
  penstock call echo hello                        send one message over a WebSocket, show the replies
  seq 3 | penstock call echo --file -             every line is a message
  penstock call echo                              talk to it: lines are messages, /help tells more
  penstock call asr --file speech.wav --output words.txt
  penstock call hello '{"max_value": 3}'           a chain: its entrypoint; hello.RandInt is a chainlet of it
  penstock call summer '{}' --url http://10.0.0.5:8000 --header "Authorization: Bearer KEY"

Whether a model is called by request or by WebSocket, the controller says; --predict and --ws decide it here. Over a
WebSocket the command ends when the model closes the stream, or when nothing has come for --quiet seconds.

exit status:
  0    answered; over a WebSocket: closed with 1000
  1    the model answered with an error, the stream ended with another code, or nothing could be reached
  2    wrong use, or DATA that is not JSON
  4    there is no such model
  124  no answer within --timeout
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the subcommand `call`."""
    parser = subparsers.add_parser(
        "call",
        help="call a model or a chain",
        description="Calls a model or a chain that is served, and shows what it answers.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", help="name of the model or the chain; CHAIN.CHAINLET for a chainlet")
    parser.add_argument("data", metavar="DATA", nargs="?", help="JSON for a request, text for a WebSocket")
    parser.add_argument(
        "--file",
        metavar="FILE",
        help="send this file: as the body of a request, as one message over a WebSocket; "
        "'-' is standard input, of which over a WebSocket every line is a message",
    )
    parser.add_argument("--lines", action="store_true", help="over a WebSocket every line of --file is a message")
    parser.add_argument("--stream", action="store_true", help="ask by request, and show each part as it comes")
    parser.add_argument("--json", action="store_true", help="indent JSON in the answer, also when it goes into a file")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the answer here, byte by byte")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--ws", dest="kind", action="store_const", const="websocket", help="talk to its websocket method")
    kind.add_argument("--predict", dest="kind", action="store_const", const="predict", help="call its predict method")
    parser.add_argument("--grpc", action="store_true", help="over gRPC instead of HTTP or WebSocket")
    parser.add_argument(
        "--url", metavar="URL", help="of an edge, for example http://127.0.0.1:8000 (default: the controller knows it)"
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--environment", metavar="E", help="default: production")
    where.add_argument("--deployment", metavar="ID", help="one deployment, instead of an environment")
    parser.add_argument(
        "--header", action="append", default=[], type=_header, metavar="K:V", help="for the model; may be repeated"
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=None,
        metavar="SECONDS",
        help="for the answer, or the first reply (default: 1200 for a request, 30 for a WebSocket)",
    )
    parser.add_argument(
        "--quiet",
        type=_seconds,
        default=1.0,
        metavar="SECONDS",
        help="over a WebSocket: end when no reply has come for so long (default: %(default)g)",
    )
    add_connection(parser)
    parser.set_defaults(run=run, kind=None)


def run(arguments: argparse.Namespace) -> int:
    """Carries out `penstock call`."""
    from penstock.cli.call.command import call

    return call(arguments)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip() or "\n" in text or "\r" in text or not text.isascii():
        raise argparse.ArgumentTypeError(f"must be NAME:VALUE, got {text!r}")
    return name.strip(), value.strip()


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= 86_400:
        raise argparse.ArgumentTypeError(f"must be seconds above 0, at most 86400, got {text!r}")
    return value
