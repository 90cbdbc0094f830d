from __future__ import annotations

import os
from pathlib import Path

from penstock_controller.actuators.replica_logs import prune, tail

NOW = 1_000_000.0


def write(folder: Path, name: str, written_at: float, content: str = "x") -> None:
    (folder / name).write_text(content)
    os.utime(folder / name, (written_at, written_at))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_only_the_newest_logs_of_ended_replicas_are_kept_per_deployment(tmp_path: Path) -> None:
    for number, name in enumerate(["d-aaaaa", "d-bbbbb", "d-ccccc", "d-ddddd", "d-x-eeeee"]):
        for suffix in (".log", ".log.1"):
            write(tmp_path, f"{name}{suffix}", number)

    prune(tmp_path, {"d-aaaaa"}, NOW, keep=1)

    assert [name for name in names(tmp_path) if name.endswith(".log")] == [
        "d-aaaaa.log",
        "d-ddddd.log",
        "d-x-eeeee.log",
    ]
    assert not (tmp_path / "d-bbbbb.log.1").exists()


def test_logs_of_one_deployment_are_bounded_in_size_and_the_newest_stays(tmp_path: Path) -> None:
    for number, name in enumerate(["d-aaaaa", "d-bbbbb", "d-ccccc"]):
        write(tmp_path, f"{name}.log", number, "x" * 40)

    prune(tmp_path, (), NOW, deployment_bytes_max=100)
    assert names(tmp_path) == ["d-bbbbb.log", "d-ccccc.log"]
    prune(tmp_path, (), NOW, deployment_bytes_max=10)
    assert names(tmp_path) == ["d-ccccc.log"]


def test_logs_of_all_deployments_are_bounded_in_size(tmp_path: Path) -> None:
    for number, name in enumerate(["a-aaaaa", "b-bbbbb", "c-ccccc"]):
        write(tmp_path, f"{name}.log", number, "x" * 40)
    write(tmp_path, "c-ddddd.log", 0, "x" * 40)

    prune(tmp_path, {"c-ddddd"}, NOW, bytes_max=100)

    assert names(tmp_path) == ["b-bbbbb.log", "c-ccccc.log", "c-ddddd.log"]


def test_empty_log_of_a_replica_that_never_lived_goes(tmp_path: Path) -> None:
    write(tmp_path, "d-aaaaa.log", 1, "")

    prune(tmp_path, (), NOW)

    assert names(tmp_path) == []


def test_log_of_a_replica_that_has_just_started_stays(tmp_path: Path) -> None:
    write(tmp_path, "d-aaaaa.log", NOW + 1, "")

    prune(tmp_path, (), NOW, keep=0, bytes_max=0)

    assert names(tmp_path) == ["d-aaaaa.log"]


def test_other_logs_in_the_folder_stay(tmp_path: Path) -> None:
    for name in ("controller.log", "edge.log", "edge.log.1"):
        write(tmp_path, name, 1)

    prune(tmp_path, (), NOW, keep=0, bytes_max=0)

    assert names(tmp_path) == ["controller.log", "edge.log", "edge.log.1"]


def test_tail_is_short_and_survives_any_bytes(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    assert tail(path) == ""
    path.write_bytes(b"\xff" * 9000 + b"\nlast\n")
    assert tail(path).endswith("last")
    assert len(tail(path)) < 5000
