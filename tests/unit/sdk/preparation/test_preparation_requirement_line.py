from __future__ import annotations

import pytest

from penstock.preparation.requirement_line import logical_lines, normalize, read_line, redact


def locate(path: str) -> str:
    return f"/model/{path.removeprefix('./')}"


@pytest.mark.parametrize("text", ["", "   ", "# all of it", "\t# indented"])
def test_empty_lines_and_comments_ask_for_nothing(text: str) -> None:
    assert read_line(text, locate) is None


@pytest.mark.parametrize(
    ("text", "resolved", "path", "name", "is_option"),
    [
        ("numpy", "numpy", None, "numpy", False),
        ("Foo_Bar.baz[x,y]>=1,<2 ; python_version>'3'", None, None, "foo-bar-baz", False),
        ("torch==2.1  # for the card", "torch==2.1", None, "torch", False),
        ("./wheels/tiny-1.0-py3-none-any.whl", "/model/wheels/tiny-1.0-py3-none-any.whl", ..., "tiny", False),
        ("wheels/my_tool-2.tar.gz", "/model/wheels/my_tool-2.tar.gz", ..., "my-tool", False),
        ("./lib[extra] ; os_name=='posix'", "/model/lib[extra] ; os_name=='posix'", "/model/lib", "lib", False),
        ("-r more.txt", "-r /model/more.txt", "/model/more.txt", "", True),
        ("--requirement=more.txt", "-r /model/more.txt", "/model/more.txt", "", True),
        ("-rmore.txt", "-r /model/more.txt", "/model/more.txt", "", True),
        ("-c limits.txt", "-c /model/limits.txt", "/model/limits.txt", "", True),
        ("-e ./lib", "-e /model/lib", "/model/lib", "lib", False),
        ("--find-links wheels", "--find-links /model/wheels", None, "", True),
        ("-f https://host/wheels", None, None, "", True),
        ("--extra-index-url https://host/simple", None, None, "", True),
        ("git+https://host/group/tool.git@v1#egg=The_Tool", None, None, "the-tool", False),
        ("git+https://host/group/tool.git@v1", None, None, "tool", False),
        ("tool @ git+https://host/group/other.git@v1", None, None, "tool", False),
        ("https://host/files/some_pkg-1.0-py3-none-any.whl", None, None, "some-pkg", False),
    ],
)
def test_a_line_is_understood(text: str, resolved: str | None, path: object, name: str, is_option: bool) -> None:
    line = read_line(text, locate)

    assert line is not None
    expected = resolved if resolved is not None else text
    assert line.resolved == expected
    assert line.path == (expected if path is ... else path)
    assert (line.name, line.is_option) == (name, is_option)


def test_a_fragment_of_an_address_is_no_comment() -> None:
    line = read_line("git+https://host/x.git#subdirectory=a # why", locate)

    assert line is not None
    assert line.text == "git+https://host/x.git#subdirectory=a"


def test_a_line_that_ends_in_a_backslash_goes_on() -> None:
    assert logical_lines("numpy==1 \\\n    --hash=sha256:aa\nsix\n") == ["numpy==1  --hash=sha256:aa", "six"]


def test_passwords_are_not_shown() -> None:
    line = read_line("--extra-index-url https://user:secret@host/simple", locate)

    assert line is not None
    assert line.shown == "--extra-index-url https://host/simple"
    assert "secret" in line.resolved
    assert redact("Looking in https://token@host/a and git@host") == "Looking in https://host/a and git@host"


def test_names_are_compared_by_their_normal_form() -> None:
    assert normalize("Foo__bar.Baz-1") == "foo-bar-baz-1"


@pytest.mark.parametrize("text", ["-", "-=", "- x", "-?"])
def test_what_is_no_option_is_left_to_the_installer(text: str) -> None:
    line = read_line(text, lambda path: path)

    assert line is not None
    assert (line.text, line.resolved, line.is_option) == (text, text, True)
