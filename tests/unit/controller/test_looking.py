from __future__ import annotations

import argparse
from pathlib import Path

import grpc
import pytest

from penstock_controller.cli.failures import CommandError
from penstock_controller.cli.looking import UnreachableError, get_status
from penstock_testing import status_messages as messages
from penstock_testing.fake_admin import FakeAdmin, served


def asked(address: str | None = None, state_dir: Path | None = None) -> argparse.Namespace:
    return argparse.Namespace(address=address, state_dir=state_dir)


def test_status_is_what_the_controller_says() -> None:
    admin = FakeAdmin()
    admin.answer("GetStatus", messages.healthy())

    with served(admin) as address:
        assert get_status(asked(address), {}, 5.0) == messages.healthy()


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED])
def test_controller_that_may_come_back_is_unreachable(code: grpc.StatusCode) -> None:
    admin = FakeAdmin()
    admin.answer("GetStatus", code)

    with served(admin) as address, pytest.raises(UnreachableError, match=f"no answer from the controller at {address}"):
        get_status(asked(address), {}, 5.0)


def test_nobody_at_the_address_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="no answer from the controller at unix:"):
        get_status(asked(f"unix:{tmp_path}/none.sock"), {}, 5.0)


def test_unknown_address_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match=f"no controller is known in {tmp_path}"):
        get_status(asked(state_dir=tmp_path), {}, 5.0)


def test_refusal_is_no_absence() -> None:
    admin = FakeAdmin()
    admin.answer("GetStatus", grpc.StatusCode.PERMISSION_DENIED)

    with served(admin) as address, pytest.raises(CommandError) as refused:
        get_status(asked(address), {}, 5.0)

    assert not isinstance(refused.value, UnreachableError)
