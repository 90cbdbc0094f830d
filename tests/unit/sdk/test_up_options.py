from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from penstock.chains.chain_file import ChainFile
from penstock.cli.up.host_port import HostPort
from penstock.cli.up.options import UpOptions, UsageError, resolve_options
from penstock.state_dir import lock_state_dir, prepare_state_dir


def make_model(folder: Path, config: str = "") -> Path:
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(config or f"model_name: {folder.name}\n")
    return folder


def resolve(folder: Path, **changes: Any) -> UpOptions:
    arguments: dict[str, Any] = {
        "paths": [],
        "listen": "127.0.0.1:8000",
        "grpc_listen": None,
        "replicas": "1",
        "state_dir": str(folder / "state"),
        "ready_file": None,
        "drain_timeout": "10",
        "insecure": False,
        "cwd": folder,
        "env": {"HOME": str(folder)},
    }
    return resolve_options(**{**arguments, **changes})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_model(tmp_path / "echo")
    return tmp_path


def test_default_is_the_current_folder(folder: Path) -> None:
    options = resolve(folder, cwd=folder / "echo")
    assert [(model.name, model.directory) for model in options.models] == [("echo", (folder / "echo").resolve())]
    assert options.listen == HostPort("127.0.0.1", 8000)
    assert options.grpc_listen == HostPort("127.0.0.1", 8001)
    assert options.grpc_listen_is_default


def test_paths_are_relative_to_the_current_folder(folder: Path) -> None:
    make_model(folder / "b")
    options = resolve(folder, paths=["echo", "b/"])
    assert [model.name for model in options.models] == ["echo", "b"]


def test_state_folder_is_made_private(folder: Path) -> None:
    options = resolve(folder, paths=["echo"], state_dir="s")
    assert options.state_dir == folder / "s"
    assert options.state_dir.stat().st_mode & 0o777 == 0o700


def test_state_folder_defaults_to_the_environment(folder: Path) -> None:
    options = resolve(folder, paths=["echo"], state_dir=None, env={"XDG_STATE_HOME": str(folder / "x")})
    assert options.state_dir == folder / "x" / "penstock"


@pytest.mark.parametrize(
    ("listen", "grpc_listen", "expected"),
    [
        ("127.0.0.1:0", None, HostPort("127.0.0.1", 0)),
        ("127.0.0.1:65535", None, HostPort("127.0.0.1", 0)),
        ("127.0.0.1:8000", "off", None),
        ("127.0.0.1:8000", "[::1]:9", HostPort("::1", 9)),
    ],
)
def test_grpc_address(folder: Path, listen: str, grpc_listen: str | None, expected: HostPort | None) -> None:
    assert resolve(folder, paths=["echo"], listen=listen, grpc_listen=grpc_listen).grpc_listen == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"listen": "8000"}, "--listen: expected HOST:PORT"),
        ({"listen": "0.0.0.0:8000"}, r"--listen 0\.0\.0\.0:8000: other machines .* --insecure"),
        ({"grpc_listen": "[::]:9000"}, r"--grpc-listen \[::\]:9000: other machines"),
        ({"grpc_listen": "127.0.0.1:8000"}, "they need two ports"),
        ({"replicas": "0"}, "--replicas: expected a number from 1 to 1000, got '0'"),
        ({"replicas": "two"}, "--replicas"),
        ({"replicas": "1001"}, "--replicas"),
        ({"drain_timeout": "nan"}, "--drain-timeout"),
        ({"drain_timeout": "-1"}, "--drain-timeout"),
        ({"ready_file": "none/ready.json"}, "--ready-file: there is no folder"),
        ({"ready_file": "."}, "--ready-file: .* is not a regular file"),
        ({"ready_file": os.devnull}, "--ready-file: .* is not a regular file"),
        ({"paths": ["nowhere"]}, r"cannot serve .*nowhere\n  config.yaml: there is no folder"),
        ({"paths": ["."]}, r"config.yaml: not found in .*; a Truss directory holds config.yaml and model/model.py"),
        ({"paths": ["echo", "./echo/"]}, "is given twice"),
    ],
)
def test_wrong_use_says_what_and_where(folder: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        resolve(folder, **{"paths": ["echo"], **changes})


def test_other_machines_are_let_in_only_when_asked_for(folder: Path) -> None:
    assert resolve(folder, paths=["echo"], listen="0.0.0.0:8000", insecure=True).listen.host == "0.0.0.0"


def test_two_models_of_one_name_are_refused(folder: Path) -> None:
    make_model(folder / "other", "model_name: ECHO\n")
    with pytest.raises(UsageError, match=r"two models are named 'ECHO': .*echo and .*other; set another model_name"):
        resolve(folder, paths=["echo", "other"])


def test_broken_config_is_told_with_its_place(folder: Path) -> None:
    make_model(folder / "broken", "model_name: x\nmodel_module_dir: [\n")
    with pytest.raises(UsageError, match=r"cannot serve .*broken\n  config.yaml:\d+:\d+: "):
        resolve(folder, paths=["broken"])


def test_state_folder_in_use_is_refused(folder: Path) -> None:
    fd = lock_state_dir(prepare_state_dir(folder / "state"))
    with pytest.raises(UsageError, match=rf"in use by another controller \(pid {os.getpid()}\).*--state-dir"):
        resolve(folder, paths=["echo"])
    os.close(fd)
    resolve(folder, paths=["echo"])


def test_nothing_is_made_when_the_call_is_wrong(folder: Path) -> None:
    with pytest.raises(UsageError):
        resolve(folder, paths=["nowhere"])
    assert not (folder / "state").exists()


@pytest.mark.parametrize(
    ("metadata", "example"),
    [
        ("{example_model_input: {text: ü}}", '{"text": "ü"}'),
        ("{example_model_input: 2024-01-01}", "{}"),
        ("{}", "{}"),
    ],
)
def test_the_example_input_of_a_model_is_json(tmp_path: Path, metadata: str, example: str) -> None:
    make_model(tmp_path / "m", f"model_name: m\nmodel_metadata: {metadata}\n")
    assert resolve(tmp_path, paths=["m"]).models[0].example == example


def test_nothing_is_watched_unless_asked(folder: Path) -> None:
    assert not resolve(folder, paths=["echo"]).watch
    assert resolve(folder, paths=["echo"], watch=True).watch


def test_a_python_file_is_a_chain(folder: Path) -> None:
    (folder / "my_chain.py").write_text("")
    options = resolve(folder, paths=["my_chain.py", "echo", "my_chain.py:Other"])
    file = (folder / "my_chain.py").resolve()
    assert options.chains == (ChainFile(file), ChainFile(file, "Other"))
    assert [model.name for model in options.models] == ["echo"]


def test_a_chain_alone_needs_no_model(folder: Path) -> None:
    (folder / "my_chain.py").write_text("")
    assert resolve(folder, paths=["my_chain.py"]).models == ()


def test_a_chain_is_a_file_that_is_there_and_given_once(folder: Path) -> None:
    (folder / "my_chain.py").write_text("")
    with pytest.raises(UsageError, match=r"there is no file .*gone"):
        resolve(folder, paths=["gone.py"])
    with pytest.raises(UsageError, match=r"\./my_chain\.py is given twice"):
        resolve(folder, paths=["my_chain.py", "./my_chain.py"])


def test_a_folder_with_a_chain_and_no_config_gets_a_hint(folder: Path) -> None:
    (folder / "work").mkdir()
    (folder / "work" / "other.py").write_text("import truss_chains")
    (folder / "work" / "my_chain.py").write_text("import truss_chains as c\nclass A(c.ChainletBase): ...")
    with pytest.raises(UsageError) as failed:
        resolve(folder, paths=["work"])
    hint = f"penstock up {os.path.relpath(folder / 'work' / 'my_chain.py')}"
    assert str(failed.value).endswith(f"\n  my_chain.py holds a chain: {hint}")
    (folder / "work" / "my_chain.py").unlink()
    with pytest.raises(UsageError, match=r"model/model\.py$"):
        resolve(folder, paths=["work"])
