from __future__ import annotations

import json
from typing import Any

import pytest

from penstock.api.control.v1 import control_pb2
from penstock.close_codes import EndCode
from penstock.trunk.batch import Kind
from penstock_edge import async_queue
from penstock_edge.async_requests import IN_LINE_MAX, RUNNING_MAX
from penstock_edge.async_submission import PAYLOAD_BYTES_MAX
from penstock_edge.http_app import HttpApp
from penstock_edge.webhook import WebhookRules, Webhooks
from penstock_testing.edge_connection import pass_time
from penstock_testing.edge_kit import ModelSide
from penstock_testing.request_kit import RequestKit, answer, response, settle
from penstock_testing.virtual_time import run_virtual

SUBMIT = "/model/echo/async_predict"
LONG_LINE = control_pb2.StreamSettings(queue_streams_max=5)


class Kit(RequestKit):
    """What the webhooks got is in `told`; whether they take it, in `takes`."""

    def __init__(self, *replicas: tuple[str, int, int], settings: control_pb2.StreamSettings | None = None) -> None:
        super().__init__(*replicas, settings=settings, rules=WebhookRules(allow_private=True))
        self.told: list[dict[str, Any]] = []
        self.takes = True

    async def submit(self, model_input: object = None, **fields: object) -> str:
        client = self.ask(SUBMIT, json.dumps({"model_input": model_input, **fields}).encode())
        await client.task
        assert client.status == 202, client.body
        return str(json.loads(client.body)["request_id"])

    async def told_by(self, path: str, method: str = "GET") -> tuple[int, Any]:
        client = self.ask(path, b"", method=method)
        await client.task
        return client.status, json.loads(client.body)

    async def status(self, request_id: str) -> Any:
        return (await self.told_by(f"/model/echo/async_request/{request_id}"))[1]

    async def counts(self) -> tuple[int, int]:
        _, told = await self.told_by("/model/echo/async_queue_status")
        return told["num_queued_requests"], told["num_in_progress_requests"]

    async def answered(self, side: ModelSide, body: bytes, status: int = 200) -> None:
        answer(side, body, status)
        await settle()


def played(scenario: Any, *replicas: tuple[str, int, int], settings: control_pb2.StreamSettings | None = None) -> None:
    async def main() -> None:
        kit = Kit(*replicas, settings=settings)

        async def deliver(_: Webhooks, url: str, request_id: str, body: bytes) -> bool:
            kit.told.append({"url": url, **json.loads(body)})
            return kit.takes

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Webhooks, "deliver", deliver)
            try:
                await scenario(kit)
            finally:
                await settle()
                await kit.app.stop()
        for runner in kit.runners.values():
            runner.pump()
            for side in runner.streams:
                if side.closing is not None and side.stream in runner.side.streams.values():
                    side.close()
        kit.assert_nothing_left()

    run_virtual(main())


def test_a_request_runs_and_its_result_can_be_had() -> None:
    async def scenario(kit: Kit) -> None:
        request_id = await kit.submit({"a": 1}, webhook_endpoint="http://10.0.0.1/hook")
        side = await kit.side()
        assert (await kit.status(request_id))["status"] == "QUEUED"
        assert await kit.counts() == (1, 0)
        side.accept()
        await settle()
        assert (await kit.status(request_id))["status"] == "IN_PROGRESS"
        assert await kit.counts() == (0, 1)
        headers = {h.name: h.value for h in side.request.headers}
        assert (side.request.body, headers["content-type"], headers["accept"]) == (
            b'{"a":1}',
            b"application/json",
            b"application/json",
        )
        assert headers["x-baseten-request-id"] == request_id.encode()
        await kit.answered(side, b'{"b": 2}')
        said = await kit.status(request_id)
        assert (said["status"], said["webhook_status"], said["data"]) == ("SUCCEEDED", "SUCCEEDED", {"b": 2})
        assert [(told["url"], told["request_id"], told["data"]) for told in kit.told] == [
            ("http://10.0.0.1/hook", request_id, {"b": 2})
        ]
        assert await kit.counts() == (0, 0)

    played(scenario)


def test_a_webhook_that_fails_shows_in_the_status() -> None:
    async def scenario(kit: Kit) -> None:
        kit.takes = False
        request_id = await kit.submit(webhook_endpoint="http://10.0.0.1/hook")
        await kit.answered(await kit.accepted(), b"1")
        said = await kit.status(request_id)
        assert (said["status"], said["webhook_status"]) == ("WEBHOOK_FAILED", "FAILED")

    played(scenario)


def test_failures_that_may_pass_are_tried_again_with_growing_pauses() -> None:
    async def scenario(kit: Kit) -> None:
        retries = {"max_attempts": 3, "initial_delay_ms": 1000, "max_delay_ms": 1500}
        request_id = await kit.submit(webhook_endpoint="http://10.0.0.1/hook", inference_retry_config=retries)
        times = []
        for number in range(3):
            while len(kit.runners["r1"].streams) <= number:
                await pass_time(kit, 0.1)
            times.append(kit.plane.now())
            await kit.answered(await kit.accepted(number), b'{"error": "told"}', 500)
        assert times == pytest.approx([0.1, 1.2, 2.8])
        said = await kit.status(request_id)
        assert (said["status"], said["errors"]) == ("FAILED", [{"code": "MODEL_PREDICT_ERROR", "message": "told"}])
        assert kit.told[0]["errors"] == said["errors"] and kit.told[0]["data"] is None

    played(scenario)


def test_a_bad_input_is_not_tried_again() -> None:
    async def scenario(kit: Kit) -> None:
        request_id = await kit.submit()
        await kit.answered(await kit.accepted(), b"{}", 422)
        assert (await kit.status(request_id))["status"] == "FAILED"
        await pass_time(kit, 60)
        assert len(kit.runners["r1"].streams) == 1

    played(scenario)


def test_a_replica_that_is_lost_is_a_failure_that_may_pass() -> None:
    async def scenario(kit: Kit) -> None:
        request_id = await kit.submit()
        await kit.accepted()
        kit.runners["r1"].lose()
        while "r1" not in kit.runners or not kit.runners["r1"].streams:
            await pass_time(kit, 0.5)
        await kit.answered(await kit.accepted(), b"7")
        assert (await kit.status(request_id))["data"] == 7

    played(scenario)


def test_a_model_that_does_not_answer_has_the_time_of_async_requests() -> None:
    async def scenario(kit: Kit) -> None:
        request_id = await kit.submit(inference_retry_config={"max_attempts": 1})
        side = await kit.accepted()
        await pass_time(kit, 3599)
        assert (await kit.status(request_id))["status"] == "IN_PROGRESS"
        await pass_time(kit, 2)
        assert (await kit.status(request_id))["errors"][0]["code"] == "MODEL_PREDICT_TIMEOUT"
        kit.runners["r1"].pump()
        assert side.closing is not None and side.closing.code is EndCode.REQUEST_TIMEOUT
        side.close()

    played(scenario)


def test_few_stand_in_line_so_that_clients_who_wait_go_first() -> None:
    async def scenario(kit: Kit) -> None:
        kit.apply()
        for number in range(IN_LINE_MAX + 20):
            await kit.submit(number)
        await settle()
        assert kit.plane.waiting.length("echo-1") == IN_LINE_MAX
        assert (await kit.counts())[0] == IN_LINE_MAX + 20

    played(scenario)


def test_no_more_run_than_the_limit() -> None:
    async def scenario(kit: Kit) -> None:
        kit.apply(("r1", 0, 1000))
        for number in range(RUNNING_MAX + 20):
            await kit.submit(number)
        accepted = 0
        while accepted < len(kit.runners["r1"].streams):
            await kit.accepted(accepted)
            accepted += 1
        assert accepted == RUNNING_MAX
        await kit.answered(kit.runners["r1"].streams[0], b"1")
        assert len(kit.runners["r1"].streams) == RUNNING_MAX + 1

    played(scenario)


def test_who_finds_no_slot_waits_without_using_an_attempt() -> None:
    async def scenario(kit: Kit) -> None:
        kit.apply()
        request_id = await kit.submit(inference_retry_config={"max_attempts": 1})
        await pass_time(kit, 200)
        assert (await kit.status(request_id))["status"] == "QUEUED"
        kit.apply(("r1", 0, 1))
        while "r1" not in kit.runners or not kit.runners["r1"].streams:
            await pass_time(kit, 0.5)
        await kit.answered(await kit.accepted(), b"7")
        assert (await kit.status(request_id))["data"] == 7

    played(scenario)


def test_priorities_are_kept_behind_a_busy_model() -> None:
    async def scenario(kit: Kit) -> None:
        kit.apply(("r1", 0, 1000))
        for number in range(RUNNING_MAX):
            await kit.submit(number)
        for number in range(RUNNING_MAX):
            await kit.accepted(number)
        for name, priority in (("low", 2), ("middle", 1), ("high", 0)):
            await kit.submit(name, priority=priority)
        for number, name in enumerate(("high", "middle", "low")):
            await kit.answered(kit.runners["r1"].streams[number], b"1")
            assert (await kit.accepted(RUNNING_MAX + number)).request.body == json.dumps(name).encode()

    played(scenario)


@pytest.mark.parametrize("has_slot", [True, False])
def test_only_queued_requests_can_be_cancelled(has_slot: bool) -> None:
    async def scenario(kit: Kit) -> None:
        request_id = await kit.submit(webhook_endpoint="http://10.0.0.1/hook")
        side = await (kit.accepted() if has_slot else kit.side())
        _, said = await kit.told_by(f"/async_request/{request_id}", "DELETE")
        assert said["canceled"] is not has_slot
        if has_slot:
            await kit.answered(side, b"1")
            assert (await kit.status(request_id))["status"] == "SUCCEEDED"
        else:
            await settle()
            kit.runners["r1"].pump()
            assert side.closing is not None
            side.reject("REPLICA_FULL")
            said = await kit.status(request_id)
            assert (said["status"], said["webhook_status"]) == ("CANCELED", "CANCELED")
            assert kit.told == []

    played(scenario)


def test_a_request_that_waits_for_too_long_expires_and_tells_its_webhook() -> None:
    async def scenario(kit: Kit) -> None:
        kit.apply()
        late = [await kit.submit(webhook_endpoint="http://10.0.0.1/h", max_time_in_queue_seconds=10) for _ in range(12)]
        other = await kit.submit()
        await pass_time(kit, 12)
        assert [(await kit.status(one))["status"] for one in late] == ["EXPIRED"] * 12
        assert sorted(told["request_id"] for told in kit.told) == sorted(late)
        assert kit.told[0]["errors"][0]["code"] == "REQUEST_EXPIRED"
        assert (await kit.status(other))["status"] == "QUEUED"
        assert await kit.counts() == (1, 0)

    played(scenario)


def test_a_full_queue_is_a_429(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(async_queue, "QUEUED_MAX", 2)

    async def scenario(kit: Kit) -> None:
        kit.apply()
        await kit.submit()
        await kit.submit()
        client = kit.ask(SUBMIT, b'{"model_input": 1}')
        await client.task
        assert (client.status, dict(client.headers)["retry-after"]) == (429, "1")

    played(scenario)


@pytest.mark.parametrize("is_told", [True, False])
def test_a_payload_beyond_the_limit_is_a_413(is_told: bool) -> None:
    async def scenario(kit: Kit) -> None:
        headers = [("content-length", str(PAYLOAD_BYTES_MAX + 1))] if is_told else []
        client = kit.ask(SUBMIT, bytes(0 if is_told else PAYLOAD_BYTES_MAX + 1), headers=headers)
        await client.task
        assert client.status == 413

    played(scenario)


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        (SUBMIT, "GET", 405),
        ("/model/echo/async_queue_status", "POST", 405),
        ("/model/echo/async_request/x", "POST", 405),
        ("/model/echo/async_request/x", "GET", 404),
        ("/async_request/test-unknown", "GET", 404),
        ("/async_request/x", "DELETE", 404),
    ],
)
def test_what_cannot_be_answered_says_why(path: str, method: str, status: int) -> None:
    async def scenario(kit: Kit) -> None:
        got, said = await kit.told_by(path, method)
        assert got == status and said["error"]
        if status == 404:
            assert ("Another edge process" in said["error"]) is ("unknown" not in path)

    played(scenario)


def test_the_id_of_one_model_is_unknown_to_another() -> None:
    async def scenario(kit: Kit) -> None:
        request_id = await kit.submit()
        client = kit.ask(f"/model/other/async_request/{request_id}", b"", method="GET")
        await client.task
        assert client.status == 404
        await kit.answered(await kit.accepted(), b"1")

    played(scenario)


def test_a_deployment_that_is_gone_is_a_failure() -> None:
    async def scenario(kit: Kit) -> None:
        kit.apply()
        for _ in range(IN_LINE_MAX):
            await kit.submit()
        request_id = await kit.submit()
        status = await kit.status(request_id)
        assert status["status"] == "QUEUED"
        kit.plane.apply(control_pb2.Snapshot(epoch=2, version=1))
        await pass_time(kit, 40)
        _, said = await kit.told_by(f"/async_request/{request_id}")
        assert (said["status"], said["errors"][0]["code"]) == ("FAILED", "MODEL_DOES_NOT_EXIST")

    played(scenario)


def test_an_edge_that_drains_takes_nothing_new() -> None:
    async def scenario(kit: Kit) -> None:
        kit.plane.is_draining = True
        client = kit.ask(SUBMIT, b'{"model_input": 1}')
        await client.task
        assert client.status == 503

    played(scenario)


def test_an_edge_that_stops_tells_the_webhooks_of_what_is_lost() -> None:
    async def scenario(kit: Kit) -> None:
        running = await kit.submit(webhook_endpoint="http://10.0.0.1/hook")
        await kit.accepted()
        waiting = await kit.submit(webhook_endpoint="http://10.0.0.1/hook")
        await settle()
        await kit.app.stop()
        assert sorted(told["request_id"] for told in kit.told) == sorted([running, waiting])
        assert {told["errors"][0]["code"] for told in kit.told} == {"INTERNAL_SERVER_ERROR"}
        kit.runners["r1"].pump()
        assert all(side.closing is not None for side in kit.runners["r1"].streams)

    played(scenario)


def test_a_streamed_result_is_put_together_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock_edge.async_requests.RESULT_BYTES_MAX", 10)

    async def scenario(kit: Kit) -> None:
        for number, (parts, expected) in enumerate(
            [((b"12345", b"67890"), "1234567890"), ((b"12345", b"678901"), None)]
        ):
            request_id = await kit.submit()
            side = await kit.accepted(number)
            side.send(Kind.BINARY, response(200, headers=(("content-type", "text/plain"),), more=True))
            for part in parts:
                side.send(Kind.BINARY, part)
            side.close()
            await settle()
            said = await kit.status(request_id)
            assert said.get("data") == expected
            assert said["status"] == ("SUCCEEDED" if expected else "FAILED")

    played(scenario)


def test_the_queue_shows_in_the_metrics() -> None:
    async def scenario(kit: Kit) -> None:
        kit.apply()
        await kit.submit()
        text = kit.plane.metrics.render().decode()
        assert 'baseten_async_queue_size{deployment_id="echo-1",model_name="echo"} 1.0' in text
        kit.apply(("r1", 0, 1))
        await settle()
        await kit.answered(await kit.accepted(), b"1")
        text = kit.plane.metrics.render().decode()
        assert 'baseten_async_queue_size{deployment_id="echo-1",model_name="echo"} 0.0' in text
        assert 'penstock_async_requests_total{deployment="echo-1",model="echo",status="SUCCEEDED"} 1.0' in text
        assert 'baseten_time_in_async_queue_seconds_count{deployment="echo-1",model="echo"} 1.0' in text

    played(scenario)


def test_apps_share_nothing() -> None:
    async def main() -> None:
        kit = Kit()
        request_id = await kit.submit()
        kit.app, first = HttpApp(kit.plane, WebhookRules()), kit.app
        assert (await kit.told_by(f"/async_request/{request_id}"))[0] == 404
        await first.stop()

    run_virtual(main())
