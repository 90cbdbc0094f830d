from __future__ import annotations

from pathlib import Path

import pytest

from penstock.preparation import requirements as module
from penstock.preparation.errors import PreparationError
from penstock.preparation.requirements import Requirements, read_requirements
from penstock.truss import parse_config


def read(folder: Path, config: str) -> Requirements:
    return read_requirements(parse_config(config.encode(), name_default="m"), folder)


def texts(requirements: Requirements) -> list[str]:
    return [line.resolved for line in requirements.lines]


def test_lines_of_the_config_are_read_without_comments(tmp_path: Path) -> None:
    found = read(tmp_path, "requirements:\n  - numpy  # fast\n  - '# nothing'\n  - |\n    six\n    idna\n")

    assert texts(found) == ["numpy", "six", "idna"]
    assert found.origin == "config.yaml: requirements"


def test_local_paths_are_those_of_the_model_and_their_content_counts(tmp_path: Path) -> None:
    wheel = tmp_path / "wheels" / "tiny-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    wheel.write_bytes(b"one")
    config = "requirements: [./wheels/tiny-1.0-py3-none-any.whl]"

    first = read(tmp_path, config)
    wheel.write_bytes(b"two")
    second = read(tmp_path, config)

    assert texts(first) == [str(wheel)]
    assert first.digests != second.digests


def test_the_content_of_a_folder_counts_but_not_what_a_build_leaves_there(tmp_path: Path) -> None:
    code = tmp_path / "lib" / "lib.py"
    code.parent.mkdir()
    code.write_text("A = 1")
    config = "requirements: [./lib]"

    first = read(tmp_path, config)
    (code.parent / "lib.pyc").write_text("x")
    (code.parent / ".git").mkdir()
    (code.parent / ".git" / "HEAD").write_text("x")
    assert read(tmp_path, config).digests == first.digests

    code.write_text("A = 2")
    assert read(tmp_path, config).digests != first.digests


def test_files_that_lines_name_count_down_to_the_last(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("-r deep/b.txt\n")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b.txt").write_text("six\n")
    first = read(tmp_path, "requirements: ['-r a.txt']")

    (tmp_path / "deep" / "b.txt").write_text("idna\n")

    assert read(tmp_path, "requirements: ['-r a.txt']").digests != first.digests


def test_files_that_name_one_another_end_in_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("-r a.txt\n")

    with pytest.raises(PreparationError, match="name one another"):
        read(tmp_path, "requirements: ['-r a.txt']")


def test_a_requirements_file_is_read_line_by_line(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "reqs.txt").write_text("# all\nsix==1 \\\n  --hash=sha256:aa\n-c limits.txt\n")
    (tmp_path / "sub" / "limits.txt").write_text("idna<3\n")

    found = read(tmp_path, "requirements_file: sub/reqs.txt")

    assert texts(found) == ["six==1  --hash=sha256:aa", f"-c {tmp_path}/sub/limits.txt"]
    assert found.origin == "sub/reqs.txt"


def test_a_project_file_and_a_lock_are_read(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\ndependencies = ['six']\n")
    (tmp_path / "uv.lock").write_text(
        "[[package]]\nname='m'\nsource={virtual='.'}\ndependencies=[{name='six'}]\n"
        "[[package]]\nname='six'\nversion='1.16.0'\nsource={registry='x'}\n"
    )

    assert texts(read(tmp_path, "requirements_file: pyproject.toml")) == ["six"]
    locked = read(tmp_path, "requirements_file: uv.lock")
    assert (texts(locked), locked.constraints) == (["six==1.16.0"], ("six==1.16.0",))


@pytest.mark.parametrize(
    ("config", "content", "reason"),
    [
        ("requirements_file: gone.txt", None, "there is no file"),
        ("requirements_file: pyproject.toml", b"[project", "not valid TOML"),
        ("requirements_file: requirements.txt", b"\xff\xfe", "not UTF-8"),
        ("requirements: ['-r gone.txt']", None, "there is no file"),
        ("requirements: ['./gone.whl']", None, "there is no file"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, config: str, content: bytes | None, reason: str) -> None:
    if content is not None:
        (tmp_path / config.partition(": ")[2]).write_bytes(content)

    with pytest.raises(PreparationError, match=reason):
        read(tmp_path, config)


def test_a_file_that_is_far_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FILE_BYTES_MAX", 10)
    (tmp_path / "requirements.txt").write_text("six\n" * 10)

    with pytest.raises(PreparationError, match="more than 10 bytes"):
        read(tmp_path, "requirements_file: requirements.txt")
