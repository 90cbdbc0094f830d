"""async_predict through a real edge and runner, with a webhook that this test serves."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from penstock_testing.asked_model import MODEL, SLOTS
from penstock_testing.raw_http import ANSWER_SECONDS, RawHttp

Play = Callable[[Callable[[RawHttp], Awaitable[None]]], None]
SUBMIT = f"/model/{MODEL}/async_predict"


class Hook:
    """What a webhook has got, and how it answers."""

    def __init__(self, statuses: tuple[int, ...]) -> None:
        self._statuses = list(statuses)
        self.url = ""
        self.got: asyncio.Queue[tuple[dict[str, str], bytes]] = asyncio.Queue()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        body = await reader.readexactly(int(headers["content-length"]))
        status = self._statuses.pop(0) if self._statuses else 200
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode())
        writer.close()
        self.got.put_nowait(({**headers, "first": first}, body))

    async def next(self) -> tuple[dict[str, str], bytes]:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await self.got.get()


@asynccontextmanager
async def hook(*statuses: int) -> AsyncIterator[Hook]:
    made = Hook(statuses)
    server = await asyncio.start_server(made.answer, "127.0.0.1", 0)
    async with server:
        made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook?a=1"
        yield made


async def submit(client: RawHttp, model_input: object, **fields: object) -> str:
    answer = await client.ask({"model_input": model_input, **fields}, path=SUBMIT)
    said = answer.json()
    assert answer.status == 202 and isinstance(said, dict) and list(said) == ["request_id"], answer
    return str(said["request_id"])


async def status(client: RawHttp, request_id: str, path: str = f"/model/{MODEL}/async_request/") -> dict[str, object]:
    await client.send(f"GET {path}{request_id} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    said = (await client.answer()).json()
    assert isinstance(said, dict)
    return said


async def settled(client: RawHttp, request_id: str, *, webhook: bool = False) -> dict[str, object]:
    """The status, once it changes no more."""
    async with asyncio.timeout(ANSWER_SECONDS):
        while True:
            said = await status(client, request_id)
            if said["status"] not in ("QUEUED", "IN_PROGRESS") and not (
                webhook and said["webhook_status"] == "PENDING"
            ):
                return said


def test_the_webhook_gets_the_result_and_a_signature_by_each_secret(play: Play) -> None:
    async def scenario(client: RawHttp) -> None:
        async with hook() as made:
            request_id = await submit(client, {"a": [1, "ä", 1e300]}, webhook_endpoint=made.url)
            headers, body = await made.next()
        told = json.loads(body)
        assert headers["first"] == "POST /hook?a=1 HTTP/1.1"
        assert headers["x-baseten-request-id"] == request_id
        assert headers["x-baseten-signature"] == ",".join(
            "v1=" + hmac.new(secret, body, hashlib.sha256).hexdigest() for secret in (b"new", b"old")
        )
        assert list(told) == ["request_id", "model_id", "deployment_id", "type", "time", "data", "errors"]
        assert (told["request_id"], told["model_id"], told["type"]) == (request_id, MODEL, "async_request_completed")
        assert (told["data"], told["errors"]) == ({"a": [1, "ä", 1e300]}, [])
        said = await settled(client, request_id, webhook=True)
        assert (said["status"], said["webhook_status"]) == ("SUCCEEDED", "SUCCEEDED")

    play(scenario)


def test_the_status_has_the_result_under_both_paths(play: Play) -> None:
    async def scenario(client: RawHttp) -> None:
        request_id = await submit(client, {"do": "items", "count": 2})
        said = await settled(client, request_id)
        assert (said["status"], said["webhook_status"]) == ("SUCCEEDED", "NO_WEBHOOK_PROVIDED")
        assert said["data"] == "item 0 item 1 ", "a streamed result comes as one"
        assert await status(client, request_id, "/async_request/") == said

    play(scenario)


@pytest.mark.parametrize(
    ("inputs", "code"),
    [({"do": "raised"}, "MODEL_PREDICT_ERROR"), ({"do": "refused", "status": 422}, "MODEL_INVALID_INPUT")],
)
def test_a_failure_has_a_code_and_reaches_the_webhook(play: Play, inputs: object, code: str) -> None:
    async def scenario(client: RawHttp) -> None:
        async with hook() as made:
            retries = {"max_attempts": 2, "initial_delay_ms": 0}
            request_id = await submit(client, inputs, webhook_endpoint=made.url, inference_retry_config=retries)
            _, body = await made.next()
        told = json.loads(body)
        assert told["data"] is None
        assert [error["code"] for error in told["errors"]] == [code]
        assert (await settled(client, request_id))["status"] == "FAILED"

    play(scenario)


def test_a_webhook_that_fails_once_is_tried_again(play: Play) -> None:
    async def scenario(client: RawHttp) -> None:
        async with hook(503) as made:
            request_id = await submit(client, {}, webhook_endpoint=made.url)
            first, second = await made.next(), await made.next()
        assert first[1] == second[1]
        assert (await settled(client, request_id, webhook=True))["webhook_status"] == "SUCCEEDED"

    play(scenario)


def test_a_webhook_that_refuses_leaves_a_status_of_its_own(play: Play) -> None:
    async def scenario(client: RawHttp) -> None:
        async with hook(404) as made:
            request_id = await submit(client, {}, webhook_endpoint=made.url)
            await made.next()
            said = await settled(client, request_id, webhook=True)
            assert (said["status"], said["webhook_status"]) == ("WEBHOOK_FAILED", "FAILED")

    play(scenario)


def test_what_waits_behind_a_full_model_can_be_cancelled(play: Play, tmp_path: Path) -> None:
    sign = tmp_path / "go"

    async def scenario(client: RawHttp) -> None:
        held = [await submit(client, {"do": "hold", "until": str(sign)}) for _ in range(SLOTS)]
        try:
            for request_id in held:
                async with asyncio.timeout(ANSWER_SECONDS):
                    while (await status(client, request_id))["status"] != "IN_PROGRESS":
                        pass
            waiting = [await submit(client, {"number": number}) for number in range(20)]
            await client.send(f"GET /model/{MODEL}/async_queue_status HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            counts = (await client.answer()).json()
            assert isinstance(counts, dict)
            assert (counts["num_queued_requests"], counts["num_in_progress_requests"]) == (20, SLOTS)
            for request_id in waiting[:-1]:
                assert await canceled(client, request_id)
                assert (await status(client, request_id))["status"] == "CANCELED"
            assert not await canceled(client, held[0])
        finally:
            sign.touch()
        assert (await settled(client, waiting[-1]))["data"] == {"number": 19}
        for request_id in held:
            assert (await settled(client, request_id))["status"] == "SUCCEEDED"

    play(scenario)


async def canceled(client: RawHttp, request_id: str) -> bool:
    await client.send(f"DELETE /async_request/{request_id} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    said = (await client.answer()).json()
    assert isinstance(said, dict)
    return bool(said["canceled"])
