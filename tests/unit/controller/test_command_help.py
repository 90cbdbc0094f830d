"""--help of every command is true: its examples are accepted."""

from __future__ import annotations

import argparse
import pkgutil
import shlex
from collections.abc import Iterator

import pytest

from penstock_controller.cli import verbs
from penstock_controller.cli.arguments import EXAMPLES
from penstock_controller.cli.main import VERBS, command_parser


def commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Every command below `parser`, subcommands included."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield command
                yield from commands(command)


COMMANDS = {command.prog.removeprefix("controller ").split(" [")[0]: command for command in commands(command_parser())}


def examples(command: argparse.ArgumentParser) -> list[str]:
    _, _, shown = command.format_help().partition(f"\n{EXAMPLES}\n")
    return [line.strip() for line in shown.splitlines()]


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_examples_that_it_accepts(name: str) -> None:
    found = examples(COMMANDS[name])

    assert found
    for example in found:
        program, *arguments = shlex.split(example)
        assert program == "controller"
        assert arguments[0] == name.split()[0]
        assert callable(command_parser().parse_args(arguments).run), example


def test_help_lists_every_command_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command_parser().parse_args(["--help"])

    shown = capsys.readouterr().out
    assert ended.value.code == 0
    listed = [line.split(maxsplit=1) for line in shown.splitlines() if line.startswith("    ") and line[4] != " "]
    assert {name for name, *_ in listed} == {name for name in COMMANDS if " " not in name}
    assert all(len(line) == 2 for line in listed)


def test_every_module_of_a_command_is_registered() -> None:
    assert {module.name for module in pkgutil.iter_modules(verbs.__path__)} == {
        verb.__name__.rpartition(".")[2] for verb in VERBS
    }


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_options_of_a_command_are_explained(name: str) -> None:
    unexplained = [
        action.dest
        for action in COMMANDS[name]._actions
        if not action.help and not isinstance(action, argparse._SubParsersAction)
    ]

    assert unexplained == []
