"""The edge's own answers to HTTP requests that reach no model."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response

from penstock.close_codes import TABLE, EndCode


def refusal(
    code: EndCode, text: str = "", *, status: int = 0, retry_after: int = 0, headers: dict[str, str] | None = None
) -> Response:
    """Returns the answer with a JSON body of `error`, `code` and `retryable`.

    Args:
        text: for people; empty for the text that belongs to `code`.
        status: 0 for the status that belongs to `code`.
        retry_after: seconds; 0 leaves the header out.
    """
    row = TABLE[code]
    response = JSONResponse(
        {"error": text or row.reason, "code": code, "retryable": row.retryable}, status or row.http_status, headers
    )
    if retry_after:
        response.headers["retry-after"] = str(retry_after)
    return response
