from __future__ import annotations

import re

import pytest

from penstock.preparation import build_settings
from penstock.preparation.build_settings import BuildSettings, read_build_settings
from penstock.preparation.errors import PreparationError
from penstock_testing.source_tree import text


def test_absent_and_empty_variables_leave_the_defaults() -> None:
    assert read_build_settings({}) == BuildSettings()
    assert read_build_settings({"PENSTOCK_INSTALLER": "", "PENSTOCK_BUILD_TIMEOUT": ""}) == BuildSettings()


def test_every_variable_is_read() -> None:
    settings = read_build_settings(
        {
            "PENSTOCK_INSTALLER": "pip",
            "PENSTOCK_PIP_ARGS": "--no-index --find-links '/my wheels'",
            "PENSTOCK_BUILD_TIMEOUT": "90",
            "PENSTOCK_ENVIRONMENTS_MAX": "3",
            "PENSTOCK_ENVIRONMENTS_BYTES": "1e9",
        }
    )

    assert settings == BuildSettings(
        installer="pip",
        install_args=("--no-index", "--find-links", "/my wheels"),
        timeout_s=90.0,
        environments_max=3,
        bytes_max=10**9,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PENSTOCK_INSTALLER", "conda"),
        ("PENSTOCK_PIP_ARGS", "--find-links '/my wheels"),
        ("PENSTOCK_BUILD_TIMEOUT", "0"),
        ("PENSTOCK_BUILD_TIMEOUT", "soon"),
        ("PENSTOCK_BUILD_TIMEOUT", "nan"),
        ("PENSTOCK_ENVIRONMENTS_MAX", "0"),
        ("PENSTOCK_ENVIRONMENTS_BYTES", "-1"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_its_name(name: str, value: str) -> None:
    with pytest.raises(PreparationError, match=name):
        read_build_settings({name: value})


def test_the_page_names_every_variable_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(PENSTOCK_\w+)` \| `?([^|`]+?)`? \|", text("docs/environments.md"), re.MULTILINE))
    default = BuildSettings()

    assert rows == {
        build_settings.INSTALLER_VARIABLE: default.installer,
        build_settings.PIP_ARGS_VARIABLE: "none",
        build_settings.BUILD_TIMEOUT_VARIABLE: f"{default.timeout_s:g}",
        build_settings.ENVIRONMENTS_MAX_VARIABLE: str(default.environments_max),
        build_settings.ENVIRONMENTS_BYTES_VARIABLE: str(default.bytes_max),
    }
    assert {name for name in vars(build_settings) if name.endswith("_VARIABLE")} == {
        name for name in vars(build_settings) if str(vars(build_settings)[name]) in rows
    }
