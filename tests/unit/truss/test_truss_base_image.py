"""`base_image` of config.yaml: read, without effect."""

from __future__ import annotations

import pytest

from penstock.truss import BaseImage, ConfigError, parse_config


def test_image_is_read_with_a_warning() -> None:
    content = (
        b"base_image:\n  image: a/b:1\n  python_executable_path: /usr/bin/python\n  docker_auth: {secret_name: x}\n"
    )

    config = parse_config(content, name_default="m")

    assert config.base_image == BaseImage("a/b:1", "/usr/bin/python")
    assert [str(warning) for warning in config.warnings] == [
        "config.yaml:2:3: base_image: not used: models run without containers; "
        "what the image holds must be on this machine",
        "config.yaml:4:16: base_image.docker_auth: not used: no image is pulled",
    ]


@pytest.mark.parametrize("content", ["", "base_image: null", "base_image: {}"])
def test_no_image_asks_for_nothing(content: str) -> None:
    config = parse_config(content.encode(), name_default="m")

    assert config.base_image in (None, BaseImage())
    assert (config.base_image is None) == (content != "base_image: {}")
    assert config.warnings == ()


def test_path_of_python_must_be_absolute() -> None:
    with pytest.raises(ConfigError, match=r"python_executable_path: must be an absolute path, got 'bin/python'"):
        parse_config(b"base_image: {python_executable_path: bin/python}", name_default="m")
