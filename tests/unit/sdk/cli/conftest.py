from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from penstock.cli.main import build_parser
from penstock_testing.fake_admin import FakeAdmin, served

Parse = Callable[..., argparse.Namespace]


@pytest.fixture
def admin() -> FakeAdmin:
    return FakeAdmin()


@pytest.fixture
def controller(admin: FakeAdmin, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a controller that answers as `admin` is told; commands find it by themselves."""
    with served(admin) as address:
        monkeypatch.setenv("PENSTOCK_CONTROLLER", address)
        yield address


@pytest.fixture
def parse() -> Parse:
    """Parses a command line of `penstock`."""
    return lambda *words: build_parser().parse_args([str(word) for word in words])


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[..., Path]:
    """Makes a Truss directory."""

    def make(
        config: str = "model_name: m\n", code: str = "class Model:\n    def predict(self, x):\n        return x\n"
    ) -> Path:
        folder = tmp_path / "m"
        (folder / "model").mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").write_text(config)
        (folder / "model" / "model.py").write_text(code)
        return folder

    return make
