"""`python_version` of config.yaml."""

from __future__ import annotations

import pytest

from penstock.truss import ConfigError, TrussConfig, parse_config


def read(version: str) -> TrussConfig:
    return parse_config(f"python_version: {version}".encode(), name_default="m")


@pytest.mark.parametrize(
    ("written", "version"),
    [("null", None), ("py310", "3.10"), ("py314", "3.14"), ("'3.10'", "3.10"), ("3.11", "3.11"), ("' 3.12 '", "3.12")],
)
def test_versions_are_read(written: str, version: str | None) -> None:
    config = read(written)

    assert config.python_version == version
    assert config.warnings == ()


def test_python_3_9_is_deprecated() -> None:
    config = read("py39")

    assert config.python_version == "3.9"
    assert [str(warning) for warning in config.warnings] == [
        "config.yaml:1:17: python_version: is deprecated: Python 3.9 gets no fixes any more"
    ]


@pytest.mark.parametrize("written", ["py38", "py315", "py3", "31.1", "python3.11", "3.11.4", "[py311]", "on"])
def test_other_versions_are_refused(written: str) -> None:
    with pytest.raises(ConfigError, match=r"python_version: must be py39 to py314, or 3\.9 to 3\.14, got "):
        read(written)


def test_version_that_yaml_shortens_gets_a_hint() -> None:
    with pytest.raises(ConfigError, match=r'got number 3\.1; YAML reads 3\.10 as the number 3\.1, so write "3\.10"'):
        read("3.10")
