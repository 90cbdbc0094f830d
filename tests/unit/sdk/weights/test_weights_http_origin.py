from __future__ import annotations

import threading

import pytest

from penstock.weights.errors import TransferError
from penstock.weights.http_client import HttpClient
from penstock.weights.http_origin import HttpOrigin
from penstock.weights.remote_file import Opened
from penstock_testing.faulty_web_server import Fault, FaultyWebServer

CONTENT = bytes(range(100))


def origin(web: FaultyWebServer, *, pinned: str = "") -> HttpOrigin:
    return HttpOrigin(HttpClient(timeout_s=0.5), web.url("/x"), pinned=pinned)


def content(opened: Opened) -> bytes:
    data = b""
    while piece := opened.read(33):
        data += piece
    opened.close()
    return data


def test_a_file_is_read_from_its_beginning(web: FaultyWebServer) -> None:
    web.put("/x", CONTENT, etag='"1"')

    opened = origin(web).open(0, "")

    assert (opened.offset, opened.total, opened.validator) == (0, 100, '"1"')
    assert content(opened) == CONTENT
    assert web.seen[0].headers["accept-encoding"] == "identity"


def test_the_rest_is_read_while_the_content_is_the_same(web: FaultyWebServer) -> None:
    web.put("/x", CONTENT, etag='"1"')

    opened = origin(web).open(40, '"1"')

    assert (opened.offset, opened.total) == (40, 100)
    assert content(opened) == CONTENT[40:]
    assert web.seen[0].headers["if-range"] == '"1"'


def test_changed_content_begins_anew(web: FaultyWebServer) -> None:
    web.put("/x", CONTENT, etag='"2"')

    opened = origin(web).open(40, '"1"')

    assert (opened.offset, opened.validator) == (0, '"2"')
    assert content(opened) == CONTENT


def test_a_server_without_ranges_begins_anew(web: FaultyWebServer) -> None:
    web.put("/x", CONTENT, Fault(ignore_range=True), etag='"1"')

    assert origin(web).open(40, '"1"').offset == 0


def test_content_that_cannot_change_is_joined_without_a_condition(web: FaultyWebServer) -> None:
    web.put("/x", CONTENT, etag='"of the CDN"')

    opened = origin(web, pinned="c0ffee").open(40, "c0ffee")

    assert (opened.offset, opened.validator) == (40, "c0ffee")
    assert "if-range" not in web.seen[0].headers
    opened.close()


def test_a_complete_part_needs_no_more(web: FaultyWebServer) -> None:
    web.put("/x", CONTENT, etag='"1"')

    opened = origin(web).open(100, '"1"')

    assert (opened.offset, opened.total, content(opened)) == (100, 100, b"")


def test_a_part_longer_than_the_file_is_of_no_use(web: FaultyWebServer) -> None:
    web.put("/x", CONTENT, etag='"1"')

    with pytest.raises(TransferError, match="shorter than what was fetched") as caught:
        origin(web).open(101, '"1"')

    assert caught.value.is_stale


def test_another_part_than_asked_for_is_of_no_use(web: FaultyWebServer) -> None:
    web.put("/x", CONTENT, Fault(headers={"Content-Range": "bytes 41-99/100"}), etag='"1"')

    with pytest.raises(TransferError, match="another part") as caught:
        origin(web).open(40, '"1"')

    assert caught.value.is_stale


@pytest.mark.parametrize(
    ("headers", "validator"),
    [
        ({"ETag": 'W/"1"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}, ""),
        ({"ETag": "", "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}, "Thu, 01 Jan 2026 00:00:00 GMT"),
        ({"ETag": ""}, ""),
    ],
)
def test_only_marks_that_stand_for_bytes_join_parts(
    web: FaultyWebServer, headers: dict[str, str], validator: str
) -> None:
    web.put("/x", CONTENT, Fault(headers=headers))

    opened = origin(web).open(0, "")
    opened.close()

    assert opened.validator == validator


def test_compressed_content_is_refused(web: FaultyWebServer) -> None:
    web.put("/x", CONTENT, Fault(headers={"Content-Encoding": "gzip"}))

    with pytest.raises(TransferError, match="content-encoding gzip"):
        origin(web).open(0, "")


def test_a_server_that_stops_sending_is_left_in_time(web: FaultyWebServer) -> None:
    release = threading.Event()
    web.put("/x", CONTENT, Fault(cut_after=10, stall=release))

    opened = origin(web).open(0, "")
    with pytest.raises(TransferError, match="sent nothing for too long"):
        content(opened)

    release.set()


def test_reading_ends_at_the_announced_length_even_if_the_connection_stays(web: FaultyWebServer) -> None:
    release = threading.Event()
    web.put("/x", CONTENT, Fault(stall=release, headers={"Connection": "keep-alive"}))

    assert content(origin(web).open(0, "")) == CONTENT

    release.set()


def test_facts_are_asked_for_without_the_content(web: FaultyWebServer) -> None:
    web.put("/x", CONTENT, Fault(), Fault(headers={"ETag": "", "Last-Modified": "then"}), Fault(headers={"ETag": ""}))

    facts = [origin(web).facts() for _ in range(3)]

    assert [fact.size for fact in facts] == [100, 100, 100]
    assert facts[0].revision.startswith('"')
    assert [fact.revision for fact in facts[1:]] == ["then", ""]


def test_an_answer_that_is_no_file_is_refused(web: FaultyWebServer) -> None:
    with pytest.raises(TransferError, match="answered 404"):
        origin(web).facts()
    with pytest.raises(TransferError, match="answered 404"):
        origin(web).open(0, "")
