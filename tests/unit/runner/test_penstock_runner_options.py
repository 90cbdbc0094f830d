"""Command line of the runner."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock_runner.options import parse_options

REQUIRED = ["--model-dir", "m", "--replica-id", "r", "--deployment-id", "d"]


def test_defaults() -> None:
    options = parse_options(REQUIRED)

    assert options.model_dir == Path("m").resolve()
    assert (options.replica_id, options.deployment_id, options.deployment_name) == ("r", "d", "d")
    assert options.environment is None
    assert options.controller is None
    assert options.listen == "127.0.0.1:0"
    assert options.lifeline_fd is None
    assert options.run_file is None
    assert options.drain_timeout_s == 3600.0


def test_every_option_is_read() -> None:
    options = parse_options(
        [
            *REQUIRED,
            *("--deployment-name", "n", "--environment", "staging", "--controller", "unix:/run/c.sock"),
            *("--listen", "[::1]:7000", "--lifeline-fd", "5", "--run-file", "run.json", "--drain-timeout", "1.5"),
            *("--log-format", "json"),
        ]
    )

    assert (options.deployment_name, options.environment, options.controller) == ("n", "staging", "unix:/run/c.sock")
    assert (options.listen, options.lifeline_fd, options.drain_timeout_s) == ("[::1]:7000", 5, 1.5)
    assert options.run_file == Path.cwd() / "run.json"
    assert options.log_format == "json"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--model-dir"),
        ([*REQUIRED, "--listen", "localhost"], "must be HOST:PORT"),
        ([*REQUIRED, "--listen", "localhost:99999"], "must be HOST:PORT"),
        ([*REQUIRED, "--drain-timeout", "-1"], "must be a number of seconds from 0"),
        ([*REQUIRED, "--drain-timeout", "nan"], "must be a number of seconds from 0"),
        ([*REQUIRED, "--lifeline-fd", "x"], "invalid int value"),
        ([*REQUIRED, "--environment", " "], "must not be empty"),
        ([*REQUIRED, "--control", "a"], "unrecognized arguments"),
    ],
)
def test_wrong_command_line_ends_with_status_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_options(arguments)

    assert caught.value.code == 2
    assert message in capsys.readouterr().err
