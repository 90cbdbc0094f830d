"""Generates the pages of docs/ that are made from code, or checks that the committed pages are current.

Usage: python tools/generate_docs.py [--check]
"""

from __future__ import annotations

import sys
from pathlib import Path

from penstock.close_codes import ABNORMAL, TABLE, End

ROOT = Path(__file__).resolve().parent.parent

CLOSE_CODES_HEAD = """\
# How a stream ends

<!-- Generated from sdk/penstock/close_codes.py by `make docs`; do not edit. -->

Every stream ends for one cause, and every peer learns of it in its own terms. While the WebSocket upgrade is not yet
answered, the client gets the HTTP status; afterwards it gets the WebSocket close code and the reason. A gRPC client
gets the gRPC status, with the cause as `penstock.api.common.v1.ErrorDetail` among its details. Retry: whether the same
request may succeed later, unchanged.

| Cause | When | HTTP | WebSocket | Reason | gRPC | Retry |
|---|---|---|---|---|---|---|
"""

CLOSE_CODES_FOOT = """
`COMPLETED`, `MODEL_CLOSED` and `CLIENT_CLOSED` carry 1000 unless the side that closed chose another code; that code and
its reason are passed on as they are. 1006 is never sent: it stands for a connection that ended without a close frame
(RFC 6455 section 7.1.5). A reason is at most 123 bytes of UTF-8 (section 5.5).
"""


def _row(end: End) -> str:
    close = "1006 (not sent)" if end.close_code == ABNORMAL else str(end.close_code)
    retry = "yes" if end.retryable else "no"
    cells = (f"`{end.code}`", end.meaning, str(end.http_status), close, end.reason, end.grpc_status, retry)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def close_codes_page() -> str:
    return CLOSE_CODES_HEAD + "".join(_row(end) for end in TABLE.values()) + CLOSE_CODES_FOOT


def pages() -> dict[Path, str]:
    """Returns every generated page by its path below the root of the repository."""
    return {Path("docs/close_codes.md"): close_codes_page()}


def stale_pages() -> list[Path]:
    return [
        path
        for path, text in pages().items()
        if not (ROOT / path).is_file() or (ROOT / path).read_text(encoding="utf-8") != text
    ]


def main(arguments: list[str]) -> int:
    if "--check" in arguments:
        stale = stale_pages()
        for path in stale:
            print(f"generated page is stale: {path} (run `make docs`)", file=sys.stderr)
        return 1 if stale else 0
    for path, text in pages().items():
        (ROOT / path).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
