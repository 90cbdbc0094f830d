from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from penstock.chains.dry_run import dry_run_folder
from penstock.chains.errors import ChainsUsageError


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    return tmp_path


def test_each_chain_has_a_folder(temporary: Path) -> None:
    assert dry_run_folder("hello") == temporary / ".chains_generated" / "hello"
    assert dry_run_folder("../my chain") == temporary / ".chains_generated" / "my-chain"
    assert (temporary / ".chains_generated").stat().st_mode & 0o077 == 0


def test_a_folder_that_leads_elsewhere_is_refused(temporary: Path) -> None:
    (temporary / "other").mkdir()
    (temporary / ".chains_generated").symlink_to(temporary / "other")
    with pytest.raises(ChainsUsageError, match="belongs to somebody else; set TMPDIR"):
        dry_run_folder("hello")
