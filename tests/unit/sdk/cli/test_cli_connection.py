from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from penstock.cli.command_error import CommandError
from penstock.cli.connection import add_connection, connected
from penstock.state_dir import ControllerFile, write_controller_file
from penstock_testing.fake_admin import FakeAdmin


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_connection(parser)
    return parser.parse_args(words)


def test_a_state_folder_leads_to_its_controller(admin: FakeAdmin, controller: str, tmp_path: Path) -> None:
    write_controller_file(tmp_path, ControllerFile(controller, 1, 1))
    with connected(parsed("--state-dir", str(tmp_path)), {"PENSTOCK_CONTROLLER": "127.0.0.1:1"}):
        pass


def test_without_a_controller_the_option_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(CommandError, match=r"no controller is known in .*--controller, --state-dir"),
        connected(parsed("--state-dir", str(tmp_path)), {}),
    ):
        pass
