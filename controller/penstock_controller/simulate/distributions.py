"""Distributions of durations and of cold starts, as they are written on the command line. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

SECONDS_MAX = 7 * 24 * 3600.0
"""Largest parameter that is a time."""
SIGMA_MAX = 5.0


@dataclass(frozen=True, slots=True)
class Form:
    """One kind of distribution: its parameters, and how a value is drawn."""

    parameters: tuple[str, ...]
    text: str
    mean: Callable[..., float]
    draw: Callable[..., float]


RECORDED = "recorded"
"""Kind of a distribution whose parameters are values that were measured, all equally likely."""

FORMS: dict[str, Form] = {
    "const": Form(
        ("SECONDS",),
        "always the same",
        lambda value: value,
        lambda random, value: value,
    ),
    "uniform": Form(
        ("LOW", "HIGH"),
        "evenly between two values",
        lambda low, high: (low + high) / 2,
        lambda random, low, high: low + (high - low) * random.random(),
    ),
    "exp": Form(
        ("MEAN",),
        "exponential",
        lambda mean: mean,
        lambda random, mean: -mean * math.log(1.0 - random.random()),
    ),
    "lognormal": Form(
        ("MEAN", "SIGMA"),
        "log-normal: many short ones and a heavy tail; SIGMA of the logarithm",
        lambda mean, sigma: mean,
        lambda random, mean, sigma: mean * math.exp(random.gauss(-sigma * sigma / 2, sigma)),
    ),
    "bimodal": Form(
        ("SHORT", "LONG", "SHARE"),
        "exponential around two means; SHARE of the long ones, 0 to 1",
        lambda short, long, share: short * (1 - share) + long * share,
        lambda random, short, long, share: (
            -(long if random.random() < share else short) * math.log(1.0 - random.random())
        ),
    ),
}
"""Every distribution by its name."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """A distribution of seconds, such as exp:600."""

    kind: str
    parameters: tuple[float, ...]

    @property
    def mean(self) -> float:
        if self.kind == RECORDED:
            return sum(self.parameters) / len(self.parameters)
        return FORMS[self.kind].mean(*self.parameters)

    def draw(self, random: Random) -> float:
        """Returns one value, not below 0."""
        if self.kind == RECORDED:
            return random.choice(self.parameters)
        return FORMS[self.kind].draw(random, *self.parameters)

    def __str__(self) -> str:
        if self.kind == RECORDED:
            return f"{RECORDED} ({len(self.parameters)} values, mean {self.mean:.4g})"
        return ":".join([self.kind, *(f"{value:g}" for value in self.parameters)])


def forms() -> str:
    """All forms, for help texts."""
    return ", ".join(":".join([kind, *form.parameters]) for kind, form in FORMS.items())


def parse_distribution(text: str) -> Distribution:
    """Reads "exp:600"; a bare number is a constant.

    Raises:
        ValueError: With a text for the user: what is wrong, and what is right.
    """
    kind, *values = text.split(":")
    if not values and _is_number(kind):
        kind, values = "const", [kind]
    form = FORMS.get(kind)
    if form is None:
        raise ValueError(f"{text!r}: must be a number of seconds or one of {forms()}")
    if len(values) != len(form.parameters):
        raise ValueError(f"{text!r}: must be {':'.join([kind, *form.parameters])}")
    numbers = [_number(text, name, value) for name, value in zip(form.parameters, values, strict=True)]
    if kind == "uniform" and numbers[0] > numbers[1]:
        raise ValueError(f"{text!r}: LOW must not be above HIGH")
    return Distribution(kind, tuple(numbers))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _number(text: str, name: str, value: str) -> float:
    high = {"SIGMA": SIGMA_MAX, "SHARE": 1.0}.get(name, SECONDS_MAX)
    number = float(value) if _is_number(value) else math.nan
    if not 0 <= number <= high:  # also false for nan
        raise ValueError(f"{text!r}: {name} must be a number from 0 to {high:g}, got {value!r}")
    return number
