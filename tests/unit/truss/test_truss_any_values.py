"""Whatever stands in a config.yaml, it is read or refused with a ConfigError; nothing else is raised."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from penstock.truss import ConfigError, Problem, TrussConfig, dump_config, parse_config
from penstock.truss.config import read_config
from penstock.truss.document import parse_document
from penstock.truss.section import Section


def known_keys() -> list[str]:
    known: set[str] = set()
    document = parse_document(
        b"docker_server: {}\nexternal_data: [{}]\nmodel_cache: [{}]\nweights: [{}]\n", "config.yaml"
    )
    read_config(document, Section.top(document, [], [], known), "m")
    return sorted(known)


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**400, max_value=10**401)
    | st.floats()
    | st.text()
    | st.sampled_from(["", " ", "/", "..", "a/../b", "http", "websocket", "H100:2", "2Gi", "500m", "py311", "hf://a/b"])
    | st.dates()
    | st.datetimes()
    | st.binary(max_size=4)
    | st.sets(st.integers(), max_size=2)
)
names = st.text() | st.integers() | st.none()
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers() | st.none(), inner, max_size=3)
    ),
    max_leaves=6,
)


def set_at(document: dict[str, Any], key: str, value: object) -> None:
    """Puts `value` at a dotted path, where nothing else stands in the way."""
    *parents, leaf = key.split(".")
    for parent in parents:
        name = parent.removesuffix("[0]")
        inner = document.setdefault(name, [{}] if parent.endswith("[0]") else {})
        if isinstance(inner, list) and inner:
            inner = inner[0]
        if not isinstance(inner, dict):
            return
        document = inner
    document[leaf] = value


def read_or_refuse(written: bytes) -> TrussConfig | list[Problem]:
    try:
        return parse_config(written, name_default="m")
    except ConfigError as error:
        return error.problems


@given(st.dictionaries(st.sampled_from(known_keys()), values, max_size=6))
def test_known_keys_with_any_values_are_read_or_refused(content: dict[str, object]) -> None:
    document: dict[str, Any] = {}
    for key, value in sorted(content.items()):
        set_at(document, key, value)
    written = yaml.safe_dump(document, allow_unicode=True).encode()

    found = read_or_refuse(written)

    if isinstance(found, TrussConfig):
        again = parse_config(dump_config(found).encode(), name_default="m")
        assert (again.transport, again.resources, again.penstock) == (found.transport, found.resources, found.penstock)
    else:
        assert found
        assert all(problem.line and problem.column and problem.message for problem in found)


@pytest.mark.parametrize("key", known_keys())
def test_every_key_survives_a_huge_number(key: str) -> None:
    """Python raises an error of its own where it must write or convert such a number."""
    document: dict[str, Any] = {}
    set_at(document, key, "HUGE")
    written = yaml.safe_dump(document).replace("HUGE", f"0x1{'0' * 5000}").encode()

    found = read_or_refuse(written)

    noted = found.warnings if isinstance(found, TrussConfig) else found
    assert all(len(str(problem)) < 1000 for problem in noted)


def test_strings_with_half_characters_are_refused() -> None:
    with pytest.raises(ConfigError, match="half of a character"):
        parse_config(b'environment_variables: {A: "\\udc80"}', name_default="m")
