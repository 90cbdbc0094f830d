"""truss.md section 2.2: streamed results, as they reach a client."""

from __future__ import annotations

import http.client
from collections.abc import Callable

import pytest

from penstock_testing.platform import Platform
from penstock_testing.static_platform import wait_until
from penstock_testing.truss_conformance import ANSWER_SECONDS, ModelDoor

Door = Callable[[str], ModelDoor]


def test_what_a_sync_generator_yields_comes_item_by_item_from_threads(door: Door) -> None:
    with door("sync-generator").stream({"count": 3}) as streamed:
        assert (streamed.status, streamed.headers["Content-Type"]) == (200, "application/octet-stream")
        assert streamed.headers["Transfer-Encoding"] == "chunked"
        assert streamed.rest() == [b"0 False\n", b"1 False\n", b"2 False\n"]


def test_what_an_async_generator_yields_comes_item_by_item(door: Door) -> None:
    with door("async-generator").stream({"items": ["a", "Grüße", "c"]}) as streamed:
        assert streamed.headers["Content-Type"] == "application/octet-stream"
        assert streamed.rest() == [b"a", "Grüße".encode(), b"c"]


def test_the_first_item_comes_while_the_model_still_works(door: Door) -> None:
    with door("async-generator").stream({"items": ["early"], "then": "wait"}) as streamed:
        assert streamed.chunk() == b"early"
        assert streamed.rest() == [b"late"]


def test_a_generator_that_yields_nothing_is_an_empty_body(door: Door) -> None:
    answer = door("sync-generator").call({"count": 0})

    assert (answer.status, answer.body) == (200, b"")


def test_large_streams_are_whole(door: Door) -> None:
    answer = door("async-generator").call({"count": 300, "size": 16 << 10})

    assert answer.body == b"".join(number.to_bytes(4, "big") * (16 << 10) for number in range(300))


def test_accept_json_gathers_the_stream_into_one_string(door: Door) -> None:
    answer = door("async-generator").call({"items": ["a", "Gr", "üße"]}, headers={"Accept": "application/json"})

    assert (answer.status, answer.json()) == (200, "aGrüße")
    assert answer.headers.get_content_type() == "application/json"


@pytest.mark.parametrize(
    "headers",
    [
        {"Accept": "application/json", "User-Agent": "OpenAI/Python 1.0"},
        {"Accept": "application/json, text/plain"},
        {"Accept": "*/*"},
    ],
)
def test_other_clients_get_the_stream(door: Door, headers: dict[str, str]) -> None:
    with door("async-generator").stream({"items": ["a", "b"]}, headers=headers) as streamed:
        assert streamed.rest() == [b"a", b"b"]


def test_an_exception_in_a_stream_ends_it_and_is_logged(platform: Platform, door: Door) -> None:
    with door("async-generator").stream({"items": ["so far"], "then": "raise"}) as streamed:
        assert streamed.status == 200
        assert streamed.rest() == [b"so far"]

    def told() -> bool:
        log = platform.output()
        return "Exception while generating streamed response" in log and "the story ends here" in log

    wait_until(told, ANSWER_SECONDS, "the log tells of the exception")


def test_a_stream_that_stalls_is_cut(door: Door) -> None:
    """`streaming_read_timeout` is 2 seconds. The generator itself goes on, and gives its permit back at its end."""
    with door("async-generator").stream({"items": ["so far"], "then": "stall"}) as streamed:
        assert streamed.chunk() == b"so far"
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            streamed.rest()

    assert door("async-generator").predict({"tell": True}) == {"produced": 2}


def test_server_sent_events_pass_one_by_one(door: Door) -> None:
    with door("server-sent-events").stream({"words": ["a", "b"]}) as streamed:
        assert streamed.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert streamed.rest() == [b'data: {"token": "a"}\n\n', b'data: {"token": "b"}\n\n', b"data: [DONE]\n\n"]
