from __future__ import annotations

import socket

from penstock.cli.up.host_port import HostPort
from penstock.cli.up.ports import listen_problem


def test_free_port_is_no_problem() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert listen_problem(HostPort("127.0.0.1", port)) is None


def test_port_of_a_listener_is_in_use_even_when_it_would_share() -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as server:
        port = server.getsockname()[1]
        assert listen_problem(HostPort("127.0.0.1", port)) == "address already in use"


def test_unknown_host_is_a_problem() -> None:
    problem = listen_problem(HostPort("no-such-host.invalid", 1))
    assert problem is not None
    assert "no-such-host.invalid is not an address of this machine" in problem


def test_address_of_another_machine_is_a_problem() -> None:
    assert listen_problem(HostPort("192.0.2.1", 0)) is not None
