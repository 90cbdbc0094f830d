"""YAML that cannot be read is refused with line and column, whatever is wrong with it."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.truss import ConfigError
from penstock.truss.document import describe, parse_document


@pytest.mark.parametrize(
    ("content", "place", "words"),
    [
        (b"a: [1\nb: 2\n", (2, 2), "expected ',' or ']'"),
        (b"a:\n\t- b\n", (2, 1), "indent with spaces"),
        (b"a: 'x\n", (2, 1), "unexpected end of stream"),
        (b"a: b: c\n", (1, 5), "mapping values are not allowed here"),
        (b"a: 1\n---\nb: 2\n", (2, 1), "another document"),
        (b"a: 2024-13-45\n", (1, 4), "month must be in 1..12"),
        (b"a: !!python/object:os.system x\n", (1, 4), "could not determine a constructor"),
        (b"? [a]\n: 1\n", (1, 3), "unhashable key"),
        (b"a: *nowhere\n", (1, 4), "undefined alias"),
        (b'a: "x\\ud800"\n', (1, 4), "half of a character"),
        (b"first: 1\nname: \xc3\xa9\xff\n", (2, 8), "not UTF-8"),
        (b"a: 1\nb: x\x07y\n", (2, 5), "control character U+0007"),
        (b"- a\n- b\n", (1, 1), "must hold `key: value` pairs, got a list"),
        (b"just text\n", (1, 1), "must hold `key: value` pairs, got text 'just text'"),
    ],
)
def test_broken_yaml_is_refused_with_its_place(content: bytes, place: tuple[int, int], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_document(content, "config.yaml")

    (problem,) = caught.value.problems
    assert (problem.line, problem.column) == place
    assert words in problem.message


def test_yaml_that_is_nested_too_deeply_is_refused() -> None:
    with pytest.raises(ConfigError, match="nested too deeply"):
        parse_document(b"[" * 5000, "config.yaml")


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"\xef\xbb\xbf", b"---\n"])
def test_empty_file_is_an_empty_mapping(content: bytes) -> None:
    assert parse_document(content, "config.yaml").data == {}


def test_byte_order_mark_is_skipped() -> None:
    assert parse_document(b"\xef\xbb\xbfa: 1\n", "config.yaml").data == {"a": 1}


def test_key_that_stands_twice_is_reported_and_the_last_one_counts() -> None:
    document = parse_document(b"a: 1\nb: {c: 1, c: 2}\na: 3\n", "config.yaml")

    assert document.data == {"a": 3, "b": {"c": 2}}
    assert [str(duplicate) for duplicate in document.duplicates] == [
        "config.yaml:2:11: b.c: stands twice; the one in line 2 is ignored",
        "config.yaml:3:1: a: stands twice; the one in line 1 is ignored",
    ]


def test_keys_that_stand_twice_in_a_list_are_named_with_their_place() -> None:
    document = parse_document(b"a: [{b: 1}, {b: 1, b: 2}]\n", "config.yaml")

    assert [duplicate.key for duplicate in document.duplicates] == ["a[1].b"]


def test_a_number_and_a_text_are_two_keys() -> None:
    document = parse_document(b"a: {1: x, '1': y}\n", "config.yaml")

    assert document.data == {"a": {1: "x", "1": "y"}}
    assert document.duplicates == ()


def test_alias_to_its_own_parent_is_read() -> None:
    document = parse_document(b"a: &x [*x]\n", "config.yaml")

    assert document.data["a"][0] is document.data["a"]


@given(st.binary(max_size=200))
def test_any_bytes_give_a_document_or_a_config_error(content: bytes) -> None:
    with contextlib.suppress(ConfigError):
        assert isinstance(parse_document(content, "config.yaml").data, dict)


@given(st.text(alphabet="ab:- \n\t[]{}&*!|>'\"#%,?1<", max_size=80))
def test_any_yaml_like_text_gives_a_document_or_a_config_error(content: str) -> None:
    with contextlib.suppress(ConfigError):
        assert isinstance(parse_document(content.encode(), "config.yaml").data, dict)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "null"),
        (True, "true"),
        (3, "number 3"),
        ("x", "text 'x'"),
        ({}, "a mapping"),
        ([], "a list"),
        ("y" * 200, "text '" + "y" * 79 + "…'"),
    ],
)
def test_values_are_described_as_they_were_written(value: object, shown: str) -> None:
    assert describe(value) == shown


def test_number_that_python_cannot_write_is_described() -> None:
    """Python writes no whole number of more than 4300 digits."""
    assert describe(16**5000) == "number 0x1" + "0" * 76 + "…"
