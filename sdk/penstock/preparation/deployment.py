"""Prepares a deployment: its environment, its weights and data, its build commands."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from penstock.preparation.build_process import Report
from penstock.preparation.build_settings import read_build_settings
from penstock.preparation.environment import build_environment, environments_of
from penstock.preparation.plan import needs_weights
from penstock.preparation.system_packages import missing_packages
from penstock.truss import TrussConfig


@dataclass(frozen=True, slots=True)
class Prepared:
    python: str
    """Path of the interpreter for runners; empty for the platform's own."""
    keys: tuple[str, ...]
    """The environments in the cache that it uses."""
    problems: tuple[str, ...]
    """What may hinder the model, for its owner."""


def prepare(config: TrussConfig, model_dir: Path, cache_dir: Path, report: Report) -> Prepared:
    """Gets everything ready that replicas of a model need.

    Raises:
        PreparationError: The environment cannot be built, or a build command fails.
        Exception: What `penstock.weights.fetch_all` raises when something cannot be fetched.
    """
    missing = missing_packages(config.system_packages, os.environ)
    for text in missing:
        report(text)
    fetch = _once(lambda: _fetch(config, model_dir, cache_dir, report))
    # Requirements first: a mistake in them is found before many gigabytes are fetched.
    environment = build_environment(config, model_dir, cache_dir, report, before_commands=fetch)
    fetch()
    for text in environment.problems:
        report(text)
    python = str(environment.python) if environment.python is not None else ""
    return Prepared(python, environment.keys, (*missing, *environment.problems))


def mark_used(prepared: Prepared, cache_dir: Path, result_file: Path) -> None:
    """Protects the environments from removal as long as `result_file` is there and names the interpreter."""
    cache = environments_of(cache_dir, read_build_settings(os.environ))
    for key in prepared.keys[:1]:
        cache.add_user(key, result_file)


def _fetch(config: TrussConfig, model_dir: Path, cache_dir: Path, report: Report) -> None:
    if needs_weights(config):
        # Only models with weights need what it imports.
        from penstock.weights import fetch_all

        fetch_all(config, model_dir, cache_dir, report)


def _once(action: Callable[[], None]) -> Callable[[], None]:
    waiting = [action]

    def run() -> None:
        while waiting:
            waiting.pop()()

    return run
