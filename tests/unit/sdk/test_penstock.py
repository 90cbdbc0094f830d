"""The names that users import from `penstock`, and what importing costs."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

import penstock


def test_every_public_name_exists_and_is_listed() -> None:
    for name in penstock.__all__:
        assert getattr(penstock, name) is not None
        assert name in dir(penstock)


def test_the_version_is_that_of_the_distribution() -> None:
    assert penstock.__version__ == version("penstock")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Klient'"):
        _ = penstock.Klient  # type: ignore[attr-defined]  # what the test is about


def loaded_by(program: str) -> set[str]:
    """Which of the heavy packages a fresh interpreter has loaded after `program`."""
    heavy = "{'grpc', 'websockets', 'asyncio', 'google', 'starlette', 'uvicorn'}"
    script = f"{program}\nimport sys; print(*({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_penstock_loads_nothing_heavy() -> None:
    assert loaded_by("import penstock; penstock.PenstockError") == set()


def test_a_client_loads_no_transport_until_it_is_used() -> None:
    assert loaded_by("import penstock; penstock.Client('ws://localhost')") == {"asyncio"}
