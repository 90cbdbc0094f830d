from __future__ import annotations

from pathlib import Path

import pytest

from penstock.cli.run_python.script import script_arguments, script_environment, split_arguments
from penstock.truss import parse_config

HERE = Path()


@pytest.mark.parametrize(
    ("words", "given", "expected"),
    [
        (["s.py", "a"], None, (HERE, ["s.py", "a"])),
        (["s.py", "a"], Path("m"), (Path("m"), ["s.py", "a"])),
        (["s.py", "--dir", "m", "a"], None, (Path("m"), ["s.py", "a"])),
        (["s.py", "--dir=m", "a"], None, (Path("m"), ["s.py", "a"])),
        (["s.py", "--dir", "x"], Path("m"), (Path("m"), ["s.py", "--dir", "x"])),
        (["s.py", "a", "--dir", "x"], None, (HERE, ["s.py", "a", "--dir", "x"])),
        (["--", "-c", "pass"], Path("m"), (Path("m"), ["-c", "pass"])),
        ([], None, (HERE, [])),
    ],
)
def test_our_option_ends_where_those_of_the_script_begin(
    words: list[str], given: Path | None, expected: tuple[Path, list[str]]
) -> None:
    assert split_arguments(words, given) == expected


def test_the_script_is_found_from_another_folder() -> None:
    assert script_arguments(["s.py", "a"], Path("/here")) == ["/here/s.py", "a"]
    assert script_arguments(["/abs/s.py"], Path("/here")) == ["/abs/s.py"]
    assert script_arguments(["-c", "pass"], Path("/here")) == ["-c", "pass"]


def test_the_environment_is_that_of_a_replica() -> None:
    config = parse_config(
        b"environment_variables: {A: '1', PENSTOCK_X: no, HOME: /h}\nexternal_package_dirs: [../shared]\n",
        name_default="m",
    )
    env = script_environment(
        {"A": "0", "PYTHONPATH": "/old", "HOME": "/u"}, config, Path("/m"), {"key": "s"}, bin_folder=None
    )
    assert env == {
        "A": "1",
        "HOME": "/h",
        "APP_HOME": "/m",
        "TRUSS_SECRET_key": "s",
        "PYTHONPATH": "/m:/m/packages:/shared:/old",
    }


def test_programs_of_the_environment_come_first() -> None:
    config = parse_config(b"", name_default="m")
    env = script_environment({"PATH": "/usr/bin"}, config, Path("/m"), {}, bin_folder=Path("/env/bin"))
    assert (env["PATH"], env["VIRTUAL_ENV"]) == ("/env/bin:/usr/bin", "/env")
