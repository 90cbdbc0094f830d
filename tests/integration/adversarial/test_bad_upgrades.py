"""Requests that are no proper upgrade (RFC 6455 section 4.2) get an HTTP answer, and never reach the model."""

from __future__ import annotations

import json

import pytest

from penstock_testing.raw_websocket import KEY, Answer, Play, RawWebSocket, upgrade
from penstock_testing.witness import Witness


def answer_to(play: Play, request: bytes) -> Answer:
    """The only answer to `request`; the edge must end the connection after it."""
    answers = []

    async def scenario(client: RawWebSocket) -> None:
        await client.send(request)
        answers.append(await client.answer())
        with pytest.raises(EOFError):
            await client.frame()

    play(scenario)
    return answers[0]


def assert_refused(answer: Answer, code: str) -> None:
    """The body of a refusal is the edge's JSON."""
    fields = json.loads(answer.body)
    assert fields["code"] == code
    assert fields["error"]
    assert fields["retryable"] is False
    assert answer.headers["content-type"].startswith("application/json")


@pytest.mark.parametrize(
    "wrong",
    [
        "/",
        "/nope",
        "/model/other/websocket",
        "/model/witness/nope",
        "/model/witness/environments/nowhere/websocket",
        "/model/witness/deployment/nothing/websocket",
        "/model/witness/../other/websocket",
        "/model/..%2f..%2fetc/websocket",
        "/model/%zz/websocket",
        "/model/%ff/websocket",
        "/model/%00/websocket",
        "//model/witness/websocket",
    ],
)
def test_a_wrong_path_is_not_found(play: Play, wrong: str) -> None:
    answer = answer_to(play, upgrade(wrong))

    assert answer.status == 404
    assert_refused(answer, "NOT_FOUND")


BAD_REQUESTS: dict[str, dict[str, object]] = {
    "no key": {"without": ["Sec-WebSocket-Key"]},
    "an empty key": {"replace": {"Sec-WebSocket-Key": ""}},
    "a short key": {"replace": {"Sec-WebSocket-Key": "c2hvcnQ="}},
    "a key that is not base64": {"replace": {"Sec-WebSocket-Key": "!" * 24}},
    "two keys": {"add": [("Sec-WebSocket-Key", KEY)]},
    "no version": {"without": ["Sec-WebSocket-Version"]},
    "an old version": {"replace": {"Sec-WebSocket-Version": "8"}},
    "a version to come": {"replace": {"Sec-WebSocket-Version": "14"}},
    "a version that is no number": {"replace": {"Sec-WebSocket-Version": "x"}},
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_a_bad_handshake_is_a_bad_request(play: Play, path: str, name: str) -> None:
    answer = answer_to(play, upgrade(path, **BAD_REQUESTS[name]))  # type: ignore[arg-type]  # the table is right

    assert answer.status in (400, 426)
    assert_refused(answer, "BAD_UPGRADE")


@pytest.mark.parametrize("version", ["8", "14"])
def test_a_version_that_is_not_spoken_is_answered_with_ours(play: Play, path: str, version: str) -> None:
    """RFC 6455 section 4.4."""
    answer = answer_to(play, upgrade(path, replace={"Sec-WebSocket-Version": version}))

    assert answer.headers.get("sec-websocket-version") == "13"


@pytest.mark.parametrize("method", ["POST", "PUT", "HEAD", "OPTIONS", "DELETE"])
def test_an_upgrade_with_another_method_is_refused(
    play: Play, path: str, method: str, case: str, witness: Witness
) -> None:
    answers = []

    async def scenario(client: RawWebSocket) -> None:
        await client.send(upgrade(path, method=method, add=[("Content-Length", "0")]))
        answers.append(await client.head())

    play(scenario)
    assert answers[0].status == 405
    assert "GET" in answers[0].headers.get("allow", ""), "RFC 9110 section 15.5.6"
    assert witness.told(case) == []


@pytest.mark.parametrize(
    "request_bytes",
    [upgrade("/model/witness/websocket", without=["Host"]), upgrade("/model/witness/websocket", add=[("Host", "b")])],
    ids=["no host", "two hosts"],
)
def test_a_request_names_exactly_one_host(play: Play, request_bytes: bytes) -> None:
    """RFC 9112 section 3.2."""
    assert answer_to(play, request_bytes).status == 400


@pytest.mark.parametrize("fields", [[("Content-Length", "5")], [("Transfer-Encoding", "chunked")]])
def test_an_upgrade_with_a_body_is_refused(play: Play, path: str, fields: list[tuple[str, str]]) -> None:
    """What one party takes for a body, another could take for frames."""
    assert answer_to(play, upgrade(path, add=fields) + b"5\r\nhello\r\n0\r\n\r\n").status == 400


def test_http_1_0_is_refused(play: Play, path: str) -> None:
    answer = answer_to(play, upgrade(path, version="HTTP/1.0"))

    assert answer.status in (400, 426, 505)


@pytest.mark.parametrize(
    ("without", "replace"),
    [
        (["Upgrade"], {}),
        (["Connection"], {}),
        ([], {"Upgrade": "h2c"}),
        ([], {"Connection": "keep-alive"}),
    ],
)
def test_a_request_without_upgrade_is_told_to_upgrade(
    play: Play, path: str, without: list[str], replace: dict[str, str]
) -> None:
    answers = []

    async def scenario(client: RawWebSocket) -> None:
        await client.send(upgrade(path, without=without, replace=replace))
        answers.append(await client.answer())

    play(scenario)
    assert answers[0].status in (400, 404, 405, 426)
    assert answers[0].body


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GARBAGE\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
        b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nBad Header: x\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
        b"\r\n\r\n\r\n\r\n\x00\x01\x02",
    ],
    ids=["garbage", "tls", "http2", "smuggling", "nul", "bad header", "version", "control characters"],
)
def test_what_is_not_http_is_answered_or_cut_off(play: Play, request_bytes: bytes) -> None:
    async def scenario(client: RawWebSocket) -> None:
        await client.send(request_bytes)
        client.half_close()
        answer = await client.everything()
        assert not answer or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5")), answer[:100]

    play(scenario)


def test_ten_thousand_headers_are_refused(play: Play, path: str) -> None:
    async def scenario(client: RawWebSocket) -> None:
        await client.send_and_ignore_reset(upgrade(path, add=[(f"X-{number}", "x") for number in range(10_000)]))
        answer = await client.everything()
        assert not answer or answer.startswith(b"HTTP/1.1 4"), answer[:100]

    play(scenario)


def test_a_header_of_a_mebibyte_is_refused(play: Play, path: str) -> None:
    async def scenario(client: RawWebSocket) -> None:
        await client.send_and_ignore_reset(upgrade(path, add=[("X-Large", "x" * (1 << 20))]))
        answer = await client.everything()
        assert not answer or answer.startswith(b"HTTP/1.1 4"), answer[:100]

    play(scenario)


def test_what_follows_a_refused_upgrade_is_not_answered(play: Play) -> None:
    """Otherwise a proxy that takes the connection for a tunnel could be used to smuggle requests."""

    async def scenario(client: RawWebSocket) -> None:
        await client.send(upgrade("/nope") + b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = await client.everything()
        assert answer.startswith(b"HTTP/1.1 404")
        assert answer.count(b"HTTP/1.1") == 1

    play(scenario)


def test_a_refused_upgrade_does_not_reach_the_model(play: Play, path: str, case: str, witness: Witness) -> None:
    answer_to(play, upgrade(path, without=["Sec-WebSocket-Key"]))

    assert witness.told(case) == []
