from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.state_dir import (
    SOCKET_PATH_BYTES_MAX,
    ControllerFile,
    ControllerNotFoundError,
    StateDirError,
    StateDirInUseError,
    controller_socket,
    default_state_dir,
    find_controller,
    lock_state_dir,
    prepare_state_dir,
    read_controller_file,
    state_dir_holder,
    write_controller_file,
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"PENSTOCK_STATE_DIR": "/a", "XDG_STATE_HOME": "/b", "HOME": "/c"}, "/a"),
        ({"XDG_STATE_HOME": "/b", "HOME": "/c"}, "/b/penstock"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/c"}, "/c/.local/state/penstock"),
        ({"HOME": "/c"}, "/c/.local/state/penstock"),
    ],
)
def test_default_folder_follows_the_environment(env: dict[str, str], expected: str) -> None:
    assert default_state_dir(env) == Path(expected)


def test_new_folder_is_private(tmp_path: Path) -> None:
    made = prepare_state_dir(tmp_path / "a" / "b")
    assert mode(made) == 0o700


def test_empty_folder_is_made_private(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir(mode=0o755)
    prepare_state_dir(folder)
    assert mode(folder) == 0o700


def test_open_folder_with_other_files_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir(mode=0o755)
    (folder / "notes.txt").write_text("x")
    with pytest.raises(StateDirError, match="not Penstock's"):
        prepare_state_dir(folder)
    assert mode(folder) == 0o755


def test_file_in_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    with pytest.raises(StateDirError, match="cannot make the folder"):
        prepare_state_dir(tmp_path / "f")


def test_socket_is_in_the_state_folder_when_short(tmp_path: Path) -> None:
    short = Path("/s")
    assert controller_socket(short) == Path("/s/controller.sock")


def test_socket_of_a_long_path_is_short_private_and_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    one = controller_socket(Path("/x" * 80))
    two = controller_socket(Path("/y" * 80))
    assert one != two
    assert one == controller_socket(Path("/x" * 80))
    assert mode(one.parent) == 0o700
    assert len(os.fsencode(one.name)) < SOCKET_PATH_BYTES_MAX


def test_socket_folder_that_is_a_link_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"penstock-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateDirError, match="is a link"):
        controller_socket(Path("/x" * 80))


def test_second_holder_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    fd = lock_state_dir(tmp_path)
    with pytest.raises(StateDirInUseError, match=rf"pid {os.getpid()}.*--state-dir"):
        lock_state_dir(tmp_path)
    assert state_dir_holder(tmp_path) == os.getpid()
    os.close(fd)
    assert state_dir_holder(tmp_path) is None
    os.close(lock_state_dir(tmp_path))


def test_lock_ends_with_its_process(tmp_path: Path) -> None:
    code = (
        "import os,sys,pathlib;from penstock.state_dir import lock_state_dir;"
        "lock_state_dir(pathlib.Path(sys.argv[1]));os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == -9
    assert (tmp_path / "controller.lock").exists()
    assert state_dir_holder(tmp_path) is None


def test_folder_never_used_has_no_holder(tmp_path: Path) -> None:
    assert state_dir_holder(tmp_path) is None


def test_controller_file_is_read_as_written(tmp_path: Path) -> None:
    content = ControllerFile("unix:/s/controller.sock", 12, 3)
    write_controller_file(tmp_path, content)
    assert read_controller_file(tmp_path) == content
    assert mode(tmp_path / "controller.json") == 0o600
    assert json.loads((tmp_path / "controller.json").read_text()) == {
        "address": "unix:/s/controller.sock",
        "pid": 12,
        "epoch": 3,
    }
    assert [entry.name for entry in tmp_path.iterdir()] == ["controller.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"address": "x"}', '{"address": "x", "pid": "?", "epoch": 1}'])
def test_unreadable_controller_file_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "controller.json").write_text(text)
    assert read_controller_file(tmp_path) is None


def test_controller_is_found_in_order(tmp_path: Path) -> None:
    write_controller_file(tmp_path, ControllerFile("folder:1", 1, 1))
    env = {"PENSTOCK_CONTROLLER": "variable:1", "PENSTOCK_STATE_DIR": str(tmp_path)}
    assert find_controller("named:1", tmp_path, env) == "named:1"
    assert find_controller(None, tmp_path, env) == "folder:1"
    assert find_controller(None, None, env) == "variable:1"
    assert find_controller(None, None, {"PENSTOCK_STATE_DIR": str(tmp_path)}) == "folder:1"


def test_missing_controller_names_the_folder_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ControllerNotFoundError, match=r"no controller is known in .*--address"):
        find_controller(None, tmp_path, {})
