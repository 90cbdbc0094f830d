from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from penstock.api.control.v1 import admin_pb2, admin_pb2_grpc
from penstock.state_dir import ControllerFile, write_controller_file
from penstock_controller.cli.connection import add_connection
from penstock_controller.cli.failures import CommandError
from penstock_controller.cli.following import RETRY_S_MAX, RETRY_S_MIN, follow
from penstock_testing.fake_admin import FakeAdmin, served


def arguments(*given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_connection(parser)
    return parser.parse_args(given)


def sequences(stub: admin_pb2_grpc.AdminServiceStub, left_s: float | None) -> Iterator[int]:
    for response in stub.WatchEvents(admin_pb2.WatchEventsRequest(), timeout=left_s):
        yield from (event.sequence for event in response.events)


def events(*numbers: int) -> list[admin_pb2.WatchEventsResponse]:
    return [admin_pb2.WatchEventsResponse(events=[admin_pb2.Event(sequence=number)]) for number in numbers]


@pytest.fixture
def admin() -> FakeAdmin:
    return FakeAdmin()


class Told:
    """Takes what is told, and the times for which it waits."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.waits: list[float] = []


def taken(items: Iterator[int], count: int) -> list[int]:
    return [next(items) for _ in range(count)]


def test_it_goes_on_over_ends_and_errors_that_pass(admin: FakeAdmin) -> None:
    admin.answer("WatchEvents", events(1, 2), grpc.StatusCode.UNAVAILABLE, events(3), events(4))
    with served(admin) as address:
        told = Told()

        items = follow(
            arguments("--address", address),
            {},
            sequences,
            duration_s=None,
            tell=told.texts.append,
            wait=told.waits.append,
        )

        assert taken(items, 4) == [1, 2, 3, 4]
    assert [text.split(" (")[0] for text in told.texts] == [
        *("the controller went away", "the controller answers again"),
        *("the controller went away", "the controller answers again"),
    ]
    assert told.waits == [RETRY_S_MIN, 2 * RETRY_S_MIN, RETRY_S_MIN]


def test_it_waits_longer_and_longer_and_tells_it_once(admin: FakeAdmin) -> None:
    admin.answer("WatchEvents", events(1), *[grpc.StatusCode.UNAVAILABLE] * 8, events(2))
    with served(admin) as address:
        told = Told()
        items = follow(
            arguments("--address", address),
            {},
            sequences,
            duration_s=None,
            tell=told.texts.append,
            wait=told.waits.append,
        )

        assert taken(items, 2) == [1, 2]
    assert told.waits[-1] == RETRY_S_MAX
    assert len(told.texts) == 2


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.NOT_FOUND])
def test_the_first_answer_must_come(admin: FakeAdmin, code: grpc.StatusCode) -> None:
    admin.answer("WatchEvents", code)
    with served(admin) as address, pytest.raises(CommandError):
        next(follow(arguments("--address", address), {}, sequences, duration_s=None, tell=Told().texts.append))


def test_an_error_that_does_not_pass_ends_it(admin: FakeAdmin) -> None:
    admin.answer("WatchEvents", events(1), grpc.StatusCode.NOT_FOUND)
    with served(admin) as address:
        items = follow(arguments("--address", address), {}, sequences, duration_s=None, tell=Told().texts.append)
        assert next(items) == 1
        with pytest.raises(CommandError, match="as told") as raised:
            next(items)
    assert raised.value.status == 4


def test_it_ends_after_its_duration(admin: FakeAdmin) -> None:
    admin.answer("WatchEvents", events(1))
    with served(admin) as address:
        told = Told()

        assert list(follow(arguments("--address", address), {}, sequences, duration_s=2.0, tell=told.texts.append)) == [
            1
        ]
    assert told.texts == []


def test_a_controller_that_comes_back_at_another_address_is_found(tmp_path: Path) -> None:
    def publish(address: str) -> None:
        write_controller_file(tmp_path, ControllerFile(address, 1, 1))

    before, after = FakeAdmin(), FakeAdmin()
    before.answer("WatchEvents", events(1))
    after.answer("WatchEvents", events(2))
    items = follow(
        arguments("--state-dir", str(tmp_path)),
        {},
        sequences,
        duration_s=None,
        tell=Told().texts.append,
        wait=Told().waits.append,
    )
    with served(before) as address:
        publish(address)
        assert next(items) == 1
    (tmp_path / "controller.json").unlink()
    with served(after) as address:
        publish(address)
        assert next(items) == 2


def test_a_controller_that_was_never_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no controller is known"):
        next(follow(arguments("--state-dir", str(tmp_path)), {}, sequences, duration_s=None, tell=Told().texts.append))
