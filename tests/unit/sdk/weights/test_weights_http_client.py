from __future__ import annotations

import socket
import threading
from datetime import UTC, datetime

import pytest

from penstock.weights.errors import TransferError
from penstock.weights.http_client import Credential, HttpClient, bearer, refusal
from penstock_testing.faulty_web_server import Fault, FaultyWebServer, faulty_web_server

SECRET = Credential("Bearer geheim")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def get(url: str, credential: Credential | None = None) -> tuple[int, bytes]:
    response, _ = HttpClient(timeout_s=5).get(url, {}, credential)
    with response:
        return response.status, response.read()


def redirect(to: str, status: int = 302) -> Fault:
    return Fault(status=status, headers={"Location": to})


def test_a_file_is_got(web: FaultyWebServer) -> None:
    web.put("/x.bin", b"content")

    assert get(web.url("/x.bin")) == (200, b"content")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(web: FaultyWebServer, status: int) -> None:
    web.put("/old", b"", redirect("/new", status))
    web.put("/new", b"content")

    assert get(web.url("/old")) == (200, b"content")


def test_a_redirect_without_end_is_left(web: FaultyWebServer) -> None:
    web.put("/loop", b"", *[redirect("/loop")] * 20)

    with pytest.raises(TransferError, match="redirects more than 10 times") as caught:
        get(web.url("/loop"))

    assert not caught.value.retryable
    assert len(web.seen) == 11


@pytest.mark.parametrize(
    ("to", "reason"),
    [
        ("file:///etc/passwd", "redirects to file://, which is not followed"),
        ("ftp://127.0.0.1/x", "redirects to ftp://, which is not followed"),
        ("data:,x", "redirects to data://, which is not followed"),
        ("", "redirects to nowhere"),
        ("http://[x", "redirects to nowhere"),
    ],
)
def test_a_redirect_to_anything_but_the_web_is_refused(web: FaultyWebServer, to: str, reason: str) -> None:
    web.put("/x", b"", redirect(to))

    with pytest.raises(TransferError, match=reason) as caught:
        get(web.url("/x"))

    assert not caught.value.retryable


def test_a_secret_goes_to_the_first_server_only(web: FaultyWebServer) -> None:
    with faulty_web_server() as other:
        web.put("/x", b"", redirect("/same-host"))
        web.put("/same-host", b"", redirect(other.url("/cdn")))
        other.put("/cdn", b"content")

        assert get(web.url("/x"), SECRET) == (200, b"content")

        assert [seen.headers.get("authorization") for seen in web.seen] == ["Bearer geheim", "Bearer geheim"]
        assert "authorization" not in other.seen[0].headers


def test_a_name_and_password_in_the_url_are_sent_as_such(web: FaultyWebServer) -> None:
    web.put("/x", b"content").password = "Basic dXNlcjpwQHNz"

    assert get(web.url("/x").replace("//", "//user:p%40ss@")) == (200, b"content")


def test_checksums_of_the_hub_stand_in_its_redirect(web: FaultyWebServer) -> None:
    web.put("/x", b"", Fault(status=302, headers={"Location": "/cdn", "X-Linked-ETag": "one", "ETag": "two"}))
    web.put("/cdn", b"content", etag="three")

    response, headers = HttpClient().get(web.url("/x"), {})
    response.close()

    assert (headers["x-linked-etag"], headers["etag"]) == ("one", "three")


def test_a_server_that_is_not_there_may_come_back() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(TransferError, match=f"127.0.0.1:{port} cannot be reached") as caught:
            get(f"http://user:geheim@127.0.0.1:{port}/x")

    assert caught.value.retryable
    assert "geheim" not in str(caught.value)


def test_a_server_that_does_not_answer_is_left_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/x"
        with pytest.raises(TransferError, match="did not answer within") as caught:
            HttpClient(timeout_s=0.2).get(url, {})

    assert caught.value.retryable


def test_a_server_that_speaks_another_language_gives_no_valid_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as strange:

        def talk() -> None:
            connection, _ = strange.accept()
            with connection:
                connection.recv(10_000)
                connection.sendall(b"220 mail.local ESMTP\r\n")

        thread = threading.Thread(target=talk)
        thread.start()
        with pytest.raises(TransferError, match="gave no valid answer: BadStatusLine"):
            get(f"http://127.0.0.1:{strange.getsockname()[1]}/x")
        thread.join(5)


def test_a_secret_that_is_no_header_is_refused_without_being_shown(web: FaultyWebServer) -> None:
    with pytest.raises(TransferError, match="not valid: ValueError") as caught:
        get(web.url("/x"), Credential("Bearer geheim\r\nX-Evil: 1"))

    assert "geheim" not in str(caught.value)
    assert "geheim" not in repr(SECRET)


def test_names_outside_of_ascii_are_encoded(web: FaultyWebServer) -> None:
    web.put("/%C3%A4.bin", b"content")

    assert get(web.url("/ä.bin")) == (200, b"content")


@pytest.mark.parametrize(
    ("secret", "header"),
    [("abc\n", "Bearer abc"), ("Bearer abc", "Bearer abc"), ("Basic eA==", "Basic eA=="), ("token x", "token x")],
)
def test_a_secret_is_a_token_or_a_whole_header(secret: str, header: str) -> None:
    assert bearer(secret).authorization == header


def test_a_refusal_says_what_to_do_and_whether_to_wait() -> None:
    url = "https://host/x?sig=geheim"

    forbidden = refusal(url, 403, "Forbidden", {}, NOW)
    busy = refusal(url, 429, "Too Many Requests", {"retry-after": "7"}, NOW)
    dated = refusal(url, 503, "", {"retry-after": "Thu, 01 Jan 2026 00:00:30 GMT"}, NOW)
    nonsense = refusal(url, 503, "", {"retry-after": "soon"}, NOW)

    assert str(forbidden).startswith("https://host/x?… answered 403 Forbidden; it needs a secret")
    assert not forbidden.retryable
    assert (busy.retryable, busy.retry_after_s) == (True, 7.0)
    assert dated.retry_after_s == 30.0
    assert nonsense.retry_after_s is None
    assert "check the address" in str(refusal(url, 404, "Not Found", {}, NOW))


def test_a_proxy_of_the_environment_is_used(web: FaultyWebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", web.url(""))
    web.put("http://somewhere.invalid/x", b"through the proxy")

    assert get("http://somewhere.invalid/x") == (200, b"through the proxy")
