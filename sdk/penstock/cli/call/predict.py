"""One request over HTTP, with the answer as it comes."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
from collections.abc import Sequence
from urllib.parse import urlsplit

from penstock.cli import exit_status
from penstock.cli.call.payload import Body
from penstock.cli.call.printer import Printer
from penstock.cli.command_error import CommandError

ANSWER_BYTES_MAX = 1 << 30
"""A larger answer that does not come in parts is not shown: it is held in memory."""
PART_BYTES = 64 * 1024
ERROR_BYTES_MAX = 64 * 1024
"""So much of the text of an error is read."""


def predict(
    url: str,
    body: Body,
    headers: Sequence[tuple[str, str]],
    printer: Printer,
    *,
    timeout_s: float,
    stream: bool,
    advice: str = "",
) -> None:
    """Sends the request, and shows the answer.

    Args:
        timeout_s: For the next bytes of the answer.
        stream: Show parts as they come, even when the answer is not chunked.
        advice: What to do when the model has failed.

    Raises:
        CommandError: There is no answer, or an error.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(host, parts.port, timeout=timeout_s, context=context)
    else:
        connection = http.client.HTTPConnection(host, parts.port, timeout=timeout_s)
    try:
        connection.putrequest("POST", parts.path, skip_accept_encoding=True)
        sent = {name.lower() for name, _ in headers}
        if "content-type" not in sent:
            connection.putheader("Content-Type", body.content_type)
        connection.putheader("Content-Length", str(len(body.content)))
        for name, value in headers:
            connection.putheader(name, value)
        # A server that refuses a body does so before it has read all of it.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.endheaders(body.content)
        _show(connection.getresponse(), printer, stream=stream, advice=advice)
    except TimeoutError:
        raise CommandError(
            f"no answer within {timeout_s:g} s; give it more with --timeout", exit_status.TIMED_OUT
        ) from None
    except (http.client.HTTPException, ValueError) as exc:
        raise CommandError(f"the answer of {url} broke off: {type(exc).__name__}: {exc}") from None
    except OSError as exc:
        raise CommandError(f"cannot reach {url}: {_reason(exc)}") from None
    finally:
        connection.close()


def _show(response: http.client.HTTPResponse, printer: Printer, *, stream: bool, advice: str) -> None:
    if response.status >= 400:
        text = error_text(response.read(ERROR_BYTES_MAX))
        status = exit_status.NOT_FOUND if response.status == 404 else exit_status.FAILED
        more = f"; {advice}" if advice and response.status >= 500 else ""
        raise CommandError(f"HTTP {response.status}: {text or response.reason}{more}", status)
    if response.chunked or stream:
        while part := response.read1(PART_BYTES):
            printer.part(part)
    else:
        content = response.read(ANSWER_BYTES_MAX + 1)
        if len(content) > ANSWER_BYTES_MAX:
            text = f"the answer has more than {ANSWER_BYTES_MAX >> 30} GiB; take it with --stream --output FILE"
            raise CommandError(text)
        printer.answer(content, response.headers.get("Content-Type", ""))
    if response.length:
        # http.client says nothing when it was asked for more than there is.
        raise http.client.IncompleteRead(b"", response.length)


def error_text(body: bytes) -> str:
    """Returns what the body of an error says to people."""
    text = body.decode("utf-8", "replace").strip()
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(content, dict):
        for key in ("error", "detail", "message"):
            if content.get(key):
                said = content[key]
                return said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
    return text


def _reason(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return f"the host is not known ({error.strerror})"
    return error.strerror or str(error)
