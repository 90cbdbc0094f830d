"""docs/config_yaml.md names every key that is read, with its default and range."""

from __future__ import annotations

import re

import pytest
import yaml

from penstock.truss import ConfigError, TrussConfig, parse_config
from penstock.truss.config import read_config
from penstock.truss.document import parse_document
from penstock.truss.section import Section
from penstock.truss.unused import UNUSED_KEYS
from penstock_testing.source_tree import text

PAGE = "docs/config_yaml.md"
ITEMS = b"docker_server: {}\nexternal_data: [{}]\nmodel_cache: [{}]\nweights: [{}]\n"
"""One item of every list, so that the keys of items are asked for."""
BESIDE = {
    "docker_server": "{start_command: x, server_port: 1, predict_endpoint: /, readiness_endpoint: /, "
    "liveness_endpoint: /}",
    "external_data[]": "url: http://h\nlocal_data_path: a",
    "model_cache[]": "repo_id: a",
    "weights[]": "source: a\nmount_location: /a",
    "weights[].auth": "auth_secret_name: a",
}
"""What must stand beside the keys of a section."""


def rows(head: str) -> list[list[str]]:
    """Returns the cells of every table on the page that has this head."""
    tables = text(PAGE).split(f"| {head} |\n")[1:]
    lines = [line for table in tables for line in table.split("\n\n", 1)[0].splitlines()[1:]]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


KEYS = {key.strip("`"): (default, values) for key, default, values, _ in rows("key | default | values | meaning here")}


def read(key: str, value: str) -> TrussConfig:
    """Reads a file with this key, and with what must stand beside it."""
    document: object = yaml.safe_load(value)
    path = key.split(".")
    for depth in reversed(range(len(path))):
        section = ".".join(path[:depth])
        inside = yaml.safe_load(BESIDE.get(section, "{}"))
        inside[path[depth].removesuffix("[]")] = [document] if path[depth].endswith("[]") else document
        document = inside
    return parse_config(yaml.safe_dump(document).encode(), name_default="m")


def readable(config: TrussConfig) -> list[object]:
    """What the file means, without the file itself and without warnings."""
    skipped = {"raw", "warnings"}
    return [getattr(config, name) for name in TrussConfig.__dataclass_fields__ if name not in skipped]


def test_page_and_parser_name_the_same_keys() -> None:
    known: set[str] = set()
    document = parse_document(ITEMS, "config.yaml")
    read_config(document, Section.top(document, [], [], known), "m")
    parsed = {re.sub(r"\[\d+\]", "[]", key) for key in known}

    documented = {*KEYS, *(row[0].strip("`") for row in rows("key | reason | no warning for"))}

    assert sorted(documented) == sorted(key for key in parsed if not key.startswith("penstock."))
    assert len(KEYS) == len(rows("key | default | values | meaning here"))


def test_unused_keys_are_documented_with_their_reason() -> None:
    documented = [(key.strip("`"), reason, neutral) for key, reason, neutral in rows("key | reason | no warning for")]

    assert [(key, reason) for key, reason, _ in documented] == [(unused.key, unused.reason) for unused in UNUSED_KEYS]
    for (_, _, cell), unused in zip(documented, UNUSED_KEYS, strict=True):
        assert [yaml.safe_load(value) for value in re.findall("`(.*?)`", cell)] == [
            yaml.safe_load(str(value)) if not isinstance(value, dict) else value for value in unused.neutral
        ]


@pytest.mark.parametrize("key", [key for key, (default, _) in KEYS.items() if default.startswith("`")])
def test_documented_default_is_what_an_absent_key_means(key: str) -> None:
    default = KEYS[key][0].strip("`")
    if key.startswith("runtime.transport.ping_"):
        # The default is that of the settings, to which 0 leads as well.
        name = key.rpartition(".")[2].replace("econds", "")
        assert getattr(read(key, "null").penstock, name) == float(default)
        return

    assert readable(read(key, default)) == readable(read(key, "null"))


@pytest.mark.parametrize("key", [key for key, (_, values) in KEYS.items() if re.match(r"[\d.]+ to [\d.]+", values)])
def test_documented_range_is_that_of_the_parser(key: str) -> None:
    found = re.match(r"([\d.]+) to ([\d.]+)", KEYS[key][1])
    assert found is not None
    low, high = found.groups()

    for value in (low, high):
        read(key, value)
    for value in (f"{float(low) - 0.01:g}" if "." in low else str(int(low) - 1), str(int(high) + 1)):
        with pytest.raises(ConfigError, match=re.escape(key.replace("[]", "[0]")) + ": must be "):
            read(key, value)


@pytest.mark.parametrize(
    "key", [key for key, (_, values) in KEYS.items() if re.fullmatch(r"(`\w+`(, | or )?)+", values)]
)
def test_documented_choices_are_those_of_the_parser(key: str) -> None:
    choices = re.findall(r"`(\w+)`", KEYS[key][1])

    for choice in choices:
        read(key, choice)
    with pytest.raises(ConfigError) as caught:
        read(key, "no such choice")
    assert f"must be {'one of ' if len(choices) > 1 else ''}{', '.join(choices)}, got" in str(caught.value)


@pytest.mark.parametrize("key", [key for key, (default, _) in KEYS.items() if default.startswith("needed")])
def test_needed_key_is_missed(key: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(key.replace("[]", "[0]")) + ": is missing"):
        read(key, "null")


@pytest.mark.parametrize(
    ("values", "wrong", "message"),
    [
        ("mapping", "x", "must be a mapping"),
        ("list of texts", "x", "must be a list of texts"),
        ("list of mappings", "x", "must be a list of mappings"),
        ("true or false", "1", "must be true or false"),
        ("text", "[x]", "must be text"),
        ("absolute path", "x", "must be an absolute path"),
        ("64 hexadecimal digits", "x", "must be 64 hexadecimal digits"),
        ("path inside", "../x", "must be a path inside"),
        ("path that begins with /", "x", "must be a path that begins with /"),
    ],
)
def test_documented_kinds_of_values_are_those_of_the_parser(values: str, wrong: str, message: str) -> None:
    keys = [key for key, (_, documented) in KEYS.items() if re.match(rf"{values}(?!\w)", documented)]
    keys = [key for key in keys if key != "build"]

    assert keys
    for key in keys:
        with pytest.raises(ConfigError, match=message):
            read(key, wrong)
