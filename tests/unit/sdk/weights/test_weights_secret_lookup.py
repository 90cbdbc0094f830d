from __future__ import annotations

from pathlib import Path

import pytest

from penstock.weights.secret_lookup import SecretLookup


def test_the_environment_goes_before_the_folder_before_the_default(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from file\n")
    defaults = {"token": "from config", "other": None}

    assert SecretLookup(defaults, env={"TRUSS_SECRET_token": "from env"}, folder=tmp_path)["token"] == "from env"
    assert SecretLookup(defaults, env={}, folder=tmp_path)["token"] == "from file"
    assert SecretLookup(defaults, env={}, folder=tmp_path / "none")["token"] == "from config"


def test_a_secret_of_a_source_need_not_be_declared() -> None:
    assert SecretLookup({}, env={"TRUSS_SECRET_hf": "t"}).get("hf") == "t"


@pytest.mark.parametrize("name", ["missing", "empty", "../token", ""])
def test_missing_empty_and_names_that_are_paths_are_no_secrets(name: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    (tmp_path / "folder").mkdir()
    secrets = SecretLookup({"empty": " "}, env={}, folder=tmp_path / "folder")

    assert secrets.get(name) is None


def test_secrets_are_not_shown_and_not_listed() -> None:
    secrets = SecretLookup({"token": "geheim"}, env={})

    assert "geheim" not in repr(secrets)
    assert len(secrets) == 1
    with pytest.raises(NotImplementedError):
        list(secrets)
