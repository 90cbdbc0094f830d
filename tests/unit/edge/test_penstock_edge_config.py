from __future__ import annotations

import pytest

from penstock_edge.config import parse_address, parse_arguments

STATIC = ["--static", "echo=127.0.0.1:1"]


def test_defaults_serve_on_loopback_only() -> None:
    config = parse_arguments(["--controller", "unix:/c.sock"])

    assert (config.listen_host, config.listen_port) == ("127.0.0.1", 8000)
    assert config.grpc_listen is None
    assert config.inner_listen == "127.0.0.1:0"
    assert config.controller == "unix:/c.sock"
    assert (config.workers, config.drain_timeout_s, config.log_format) == (1, 3600.0, "json")
    assert config.lifeline_fd is None and config.ready_file is None and config.is_worker is False


def test_every_option_is_taken() -> None:
    config = parse_arguments(
        [
            "--listen",
            "[::1]:0",
            "--grpc-listen",
            "0.0.0.0:81",
            "--insecure",
            "--static",
            "a=h:1",
            "--static",
            "b=[::1]:2",
            "--workers",
            "4",
            "--drain-timeout",
            "1.5",
            "--ready-file",
            "r.json",
            "--lifeline-fd",
            "9",
            "--log-format",
            "text",
            "--log-level",
            "debug",
            "--tls-cert",
            "c.pem",
            "--tls-key",
            "k.pem",
            "--worker",
        ]
    )

    assert (config.listen_host, config.listen_port, config.grpc_listen) == ("::1", 0, "0.0.0.0:81")
    assert config.static == (("a", "h:1"), ("b", "[::1]:2"))
    assert (config.workers, config.drain_timeout_s, config.ready_file, config.lifeline_fd) == (4, 1.5, "r.json", 9)
    assert (config.log_format, config.log_level, config.is_worker) == ("text", "debug", True)
    assert (config.tls_cert, config.tls_key) == ("c.pem", "k.pem")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "[::1]", "localhost"])
def test_loopback_needs_no_leave(host: str) -> None:
    parse_arguments(["--listen", f"{host}:0", "--grpc-listen", f"{host}:0", *STATIC])


@pytest.mark.parametrize("option", ["--listen", "--grpc-listen", "--inner-listen"])
@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "[::]", "example.com"])
def test_an_address_that_others_can_reach_has_to_be_meant(
    option: str, host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """DESIGN section 8."""
    with pytest.raises(SystemExit):
        parse_arguments([option, f"{host}:8000", *STATIC])
    assert "--insecure" in capsys.readouterr().err

    parse_arguments([option, f"{host}:8000", "--insecure", *STATIC])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--listen", "8000", *STATIC],
            "argument --listen: expected HOST:PORT with a port from 0 to 65535, got '8000'",
        ),
        (["--listen", ":8000", *STATIC], "expected HOST:PORT"),
        (["--listen", "h:65536", *STATIC], "expected HOST:PORT with a port from 0 to 65535, got 'h:65536'"),
        (["--listen", "h:-1", *STATIC], "expected HOST:PORT"),
        (["--grpc-listen", "on", *STATIC], "argument --grpc-listen: expected HOST:PORT"),
        (["--inner-listen", "on", *STATIC], "argument --inner-listen: expected HOST:PORT"),
        (["--inner-listen", "h:65534", "--workers", "3", *STATIC], "3 workers need as many ports from 65534 on"),
        (["--static", "echo"], "argument --static: expected NAME=HOST:PORT, got 'echo'"),
        (["--static", "=h:1"], "expected NAME=HOST:PORT"),
        (["--static", "echo=h"], "argument --static: expected HOST:PORT with a port from 0 to 65535, got 'h'"),
        (["--workers", "0", *STATIC], "argument --workers: expected a number from 1 to 256, got '0'"),
        (["--workers", "many", *STATIC], "expected a number from 1 to 256, got 'many'"),
        (["--drain-timeout", "-1", *STATIC], "argument --drain-timeout: expected seconds from 0 to 86400, got '-1'"),
        (["--drain-timeout", "nan", *STATIC], "expected seconds from 0 to 86400, got 'nan'"),
        (["--log-format", "xml", *STATIC], "argument --log-format: invalid choice: 'xml'"),
        (["--controller", "c:1", *STATIC], "not allowed with argument --controller"),
        (["--tls-cert", "c.pem", *STATIC], "--tls-cert and --tls-key go together"),
        ([], "one of the arguments --controller --static is required"),
    ],
)
def test_wrong_options_are_answered_with_what_is_expected(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_arguments(arguments)

    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_addresses_of_version_6_lose_their_brackets() -> None:
    assert parse_address("[::1]:80") == ("::1", 80)
    assert parse_address("localhost:0") == ("localhost", 0)


def test_calls_between_chainlets_can_be_turned_off() -> None:
    assert parse_arguments(["--inner-listen", "off", *STATIC]).inner_listen is None
