"""Carries out `penstock call`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from urllib.parse import urlsplit

from penstock.cli import exit_status
from penstock.cli.call.conversation import Conversation
from penstock.cli.call.payload import messages, request_body
from penstock.cli.call.predict import predict
from penstock.cli.call.printer import Printer
from penstock.cli.call.source_kind import kind_of_source
from penstock.cli.call.target import Kind, Target, find_target
from penstock.cli.command_error import CommandError
from penstock.cli.connection import connected, get_status

PREDICT_TIMEOUT_S = 1200.0
"""As long as a deployment may take by default."""
REPLY_TIMEOUT_S = 30.0


def call(arguments: argparse.Namespace) -> int:
    """Calls the model, and shows its answer. Returns the exit status.

    Raises:
        CommandError: There is no such model, or no good answer.
    """
    if arguments.data is not None and arguments.file is not None:
        raise CommandError("give DATA or --file, not both", exit_status.USAGE)
    target = _find(arguments)
    kind = _kind(arguments, target)
    with Printer(arguments.output, indents=arguments.json) as printer:
        return _converse(arguments, target, printer) if kind == "websocket" else _ask(arguments, target, printer)


def _find(arguments: argparse.Namespace) -> Target:
    url = _http_url(arguments.url) if arguments.url is not None else None
    if url is not None and (arguments.kind is not None or arguments.stream) and not arguments.grpc:
        # Everything is said: an edge can be called from where its controller cannot be reached.
        return Target(
            name=arguments.name,
            environment=arguments.environment,
            deployment=arguments.deployment,
            kind=arguments.kind,
            http=url,
        )
    try:
        with connected(arguments) as stub:
            status = get_status(stub)
        return find_target(
            status, arguments.name, environment=arguments.environment, deployment=arguments.deployment, url=url
        )
    except CommandError as exc:
        if url is None:
            raise
        raise CommandError(f"{exc}\nWith --url, say how the model is called: --predict or --ws", exc.status) from None


def _http_url(text: str) -> str:
    scheme = {"http": "http", "https": "https", "ws": "http", "wss": "https"}.get(urlsplit(text).scheme)
    if scheme is None or not urlsplit(text).hostname:
        raise CommandError(f"--url: expected http://HOST:PORT of an edge, got {text!r}", exit_status.USAGE)
    return f"{scheme}:{text.partition(':')[2]}".rstrip("/")


def _kind(arguments: argparse.Namespace, target: Target) -> Kind:
    if arguments.kind is not None:
        asked: Kind = arguments.kind
        return asked
    if arguments.stream:
        return "predict"
    return target.kind or kind_of_source(Path(target.source)) or "predict"


def _ask(arguments: argparse.Namespace, target: Target, printer: Printer) -> int:
    body = request_body(arguments.data, arguments.file)
    timeout_s = arguments.timeout or PREDICT_TIMEOUT_S
    if not arguments.grpc:
        predict(
            target.predict_url,
            body,
            arguments.header,
            printer,
            timeout_s=timeout_s,
            stream=arguments.stream,
            advice=f"the model's log: penstock logs {target.name}",
        )
        return exit_status.OK
    # Only this way needs it.
    from penstock.cli.call.grpc_predict import grpc_predict

    _require_grpc(target)
    grpc_predict(target, body, arguments.header, printer, timeout_s=timeout_s, stream=arguments.stream)
    return exit_status.OK


def _converse(arguments: argparse.Namespace, target: Target, printer: Printer) -> int:
    if arguments.grpc:
        _require_grpc(target)
    conversation = Conversation(
        target=target,
        url=f"grpc://{target.grpc}" if arguments.grpc else target.http,
        headers=arguments.header,
        timeout_s=arguments.timeout or REPLY_TIMEOUT_S,
        quiet_s=arguments.quiet,
    )
    if arguments.data is None and arguments.file is None and sys.stdin.isatty() and printer.is_terminal:
        return conversation.run_prompt(printer)
    return conversation.run(messages(arguments.data, arguments.file, lines=arguments.lines), printer)


def _require_grpc(target: Target) -> None:
    if not target.grpc:
        raise CommandError("this edge serves no gRPC")
