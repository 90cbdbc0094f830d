"""Secrets: environment, then folder, then default, looked up at each access (truss.md section 2.6)."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock_runner.model.errors import SecretNotFound
from penstock_runner.model.secrets import Secrets


def test_environment_wins_over_file_and_file_over_default(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("file")
    (tmp_path / "b").write_text("file")
    declared = {"a": "default", "b": "default", "c": "default"}

    secrets = Secrets(declared, environment={"TRUSS_SECRET_a": "environment"}, folder=tmp_path)

    assert (secrets["a"], secrets["b"], secrets["c"]) == ("environment", "file", "default")


def test_value_is_read_anew_at_each_access(tmp_path: Path) -> None:
    secrets = Secrets({"a": None}, environment={}, folder=tmp_path)
    (tmp_path / "a").write_text("one")
    first = secrets["a"]
    (tmp_path / "a").write_text("two")

    assert (first, secrets["a"]) == ("one", "two")


@pytest.mark.parametrize("declared", [{"a": None}, {"a": ""}])
def test_declared_secret_without_value_is_not_found(declared: dict[str, str | None], tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")

    with pytest.raises(SecretNotFound, match="TRUSS_SECRET_a"):
        Secrets(declared, environment={"TRUSS_SECRET_a": ""}, folder=tmp_path)["a"]


def test_undeclared_secret_is_not_found_even_when_it_has_a_value(tmp_path: Path) -> None:
    secrets = Secrets({}, environment={"TRUSS_SECRET_a": "x"}, folder=tmp_path)

    with pytest.raises(SecretNotFound, match="is not declared"):
        secrets["a"]
    assert "a" not in secrets
    assert secrets.get("a", "fallback") == "fallback"


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "..", "."])
def test_name_cannot_lead_out_of_the_folder(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret").write_text("x")

    with pytest.raises(SecretNotFound):
        Secrets({name: None}, environment={}, folder=folder)[name]


def test_secrets_can_be_counted_but_not_listed(tmp_path: Path) -> None:
    secrets = Secrets({"a": "x", "b": None}, environment={}, folder=tmp_path)

    assert len(secrets) == 2
    with pytest.raises(NotImplementedError):
        list(secrets)


def test_values_do_not_show_in_its_repr(tmp_path: Path) -> None:
    assert "hunter2" not in repr(Secrets({"a": "hunter2"}, environment={}, folder=tmp_path))
