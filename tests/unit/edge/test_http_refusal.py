from __future__ import annotations

import json

from penstock.close_codes import TABLE, EndCode
from penstock_edge.http_refusal import refusal


def test_a_refusal_says_what_its_row_says() -> None:
    row = TABLE[EndCode.QUEUE_FULL]

    answer = refusal(EndCode.QUEUE_FULL)

    assert answer.status_code == row.http_status
    assert json.loads(bytes(answer.body)) == {"error": row.reason, "code": "QUEUE_FULL", "retryable": row.retryable}
    assert "retry-after" not in answer.headers


def test_a_refusal_can_say_it_better() -> None:
    answer = refusal(EndCode.NOT_FOUND, "Not here.", status=410, retry_after=7, headers={"Upgrade": "websocket"})

    assert answer.status_code == 410
    assert json.loads(bytes(answer.body))["error"] == "Not here."
    assert (answer.headers["retry-after"], answer.headers["upgrade"]) == ("7", "websocket")
