from __future__ import annotations

import pytest

from penstock.preparation.plan import (
    choose_python,
    commands_key,
    environment_key,
    missing_python,
    needs_environment,
    needs_preparation,
)
from penstock.preparation.requirement_line import RequirementLine
from penstock.preparation.requirements import Requirements
from penstock.truss import TrussConfig, parse_config


def config(text: str) -> TrussConfig:
    return parse_config(text.encode(), name_default="m")


@pytest.mark.parametrize(
    "text",
    ["", "model_name: a", "python_version: py311", "requirements: []", "resources: {accelerator: L4}"],
)
def test_a_plain_model_needs_no_preparation(text: str) -> None:
    assert not needs_preparation(config(text), "3.11")
    assert not needs_environment(config(text), "3.11", "3.11")


@pytest.mark.parametrize(
    "text",
    [
        "requirements: [six]",
        "requirements_file: requirements.txt",
        "build_commands: ['true']",
        "system_packages: [ffmpeg]",
        "external_data: [{url: 'https://host/x', local_data_path: x}]",
        "model_cache: [{repo_id: a/b, revision: main, use_volume: false}]",
        "python_version: py312",
        "python_version: py39",
    ],
)
def test_whatever_takes_work_or_has_to_be_told_needs_preparation(text: str) -> None:
    assert needs_preparation(config(text), "3.11")


def test_another_version_of_python_needs_an_environment() -> None:
    assert needs_environment(config("python_version: py312"), "3.12", "3.11")


@pytest.mark.parametrize(("wanted", "minor"), [(None, "3.13"), ("3.13", "3.13"), ("3.12", "3.12"), ("3.11", "3.11")])
def test_the_wanted_python_is_chosen(wanted: str | None, minor: str) -> None:
    choice = choose_python(wanted, platform_minor="3.13", lowest_minor="3.11")

    assert (choice.minor, choice.problem) == (minor, "")


def test_a_python_that_is_too_old_for_penstock_is_replaced_and_this_is_told() -> None:
    # 3.9 is less than 3.11, although "3.9" is not less than "3.11".
    choice = choose_python("3.9", platform_minor="3.11", lowest_minor="3.11")

    assert choice.minor == "3.11"
    assert "instead of 3.9" in choice.problem


def test_a_missing_python_is_named_with_what_is_there() -> None:
    text = str(missing_python("3.14", ["3.11.7 (Penstock's own)", "3.12.1 (/usr/bin/python3.12)"]))

    assert "wants Python 3.14" in text
    assert "Available: 3.11.7 (Penstock's own), 3.12.1 (/usr/bin/python3.12)." in text


BASE = Requirements(lines=(RequirementLine("six", "six"),), constraints=("idna==3",), digests=("d",))


def key(requirements: Requirements = BASE, python: str = "3.11.7 (/p)", needs: str = "", args: str = "") -> str:
    return environment_key(requirements, python=python, needs=needs.split(), install_args=args.split())


def test_equal_content_is_one_environment_and_any_difference_another() -> None:
    others = [
        key(Requirements(lines=(RequirementLine("six==1", "six==1"),), constraints=("idna==3",), digests=("d",))),
        key(Requirements(lines=BASE.lines, constraints=(), digests=("d",))),
        key(Requirements(lines=BASE.lines, constraints=BASE.constraints, digests=("e",))),
        key(python="3.11.8 (/p)"),
        key(needs="grpcio"),
        key(args="--no-index"),
    ]

    assert key() == key()
    assert len({key(), *others}) == 7


def test_a_path_names_another_folder_only_where_the_folder_itself_is_used() -> None:
    def of(text: str, resolved: str) -> str:
        return key(Requirements(lines=(RequirementLine(text, resolved),), digests=("same",)))

    assert of("./a.whl", "/one/a.whl") == of("./a.whl", "/two/a.whl")
    assert of("-e ./lib", "-e /one/lib") != of("-e ./lib", "-e /two/lib")
    assert of("-f wheels", "--find-links /one/wheels") != of("-f wheels", "--find-links /two/wheels")


def test_build_commands_belong_to_one_folder() -> None:
    def of(environment: str, commands: list[str], model_dir: str) -> str:
        return commands_key(environment, python="p", commands=commands, model_dir=model_dir)

    keys = {
        of("e", ["a"], "/m"),
        of("f", ["a"], "/m"),
        of("e", ["b"], "/m"),
        of("e", ["a"], "/n"),
        of("e", ["a"], "/m"),
    }
    assert len(keys) == 4
