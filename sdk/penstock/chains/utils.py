"""Helpers that chains import from `truss_chains.utils`."""

from __future__ import annotations

import logging
import random

from penstock.chains.abs_path import make_abs_path_here

__all__ = ["InjectedError", "make_abs_path_here", "random_fail"]


class InjectedError(Exception):
    """A failure that `random_fail` has made up."""


def random_fail(probability: float, msg: str) -> None:
    """Fails now and then, to try out what a chain does then.

    Args:
        probability: From 0 (never) to 1 (always).

    Raises:
        InjectedError: with that probability.
    """
    if random.random() < probability:
        message = f"Random failure: {msg}"
        logging.getLogger("penstock.chains").warning(message)
        raise InjectedError(message)
