"""Which streams arrive, when, and how long each lasts. Pure: the seed comes as a `random.Random`."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

from penstock_controller.simulate.distributions import Distribution

if TYPE_CHECKING:
    from random import Random

STREAMS_MAX = 5_000_000
"""Most streams of one run: they are kept in memory, 16 bytes each, and a run of so many takes minutes."""

STEP_PEAK, SINE_PEAK, FLASH_PEAK = 4.0, 4.0, 10.0
"""Default of the highest rate, as a multiple of the lowest."""

FLASH_S = 300.0
"""Length of a flash crowd."""

SINE_PERIODS = 2
"""Waves in one run."""


class WorkloadError(ValueError):
    """The workload cannot be simulated; the text is for the user."""


@dataclass(frozen=True, slots=True)
class RateChange:
    """A moment at which the rate of arrivals jumps."""

    at_s: float
    is_rise: bool


@dataclass(frozen=True, slots=True)
class Streams:
    """The streams of one run, in the order of their arrival. Every policy of a comparison gets the same ones."""

    arrived_at: array[float]
    duration: array[float]
    horizon_s: float
    changes: tuple[RateChange, ...] = ()

    def __len__(self) -> int:
        return len(self.arrived_at)


class Workload(Protocol):
    """Makes the streams of one seed."""

    @property
    def text(self) -> str:
        """What it is, for people."""

    @property
    def horizon_s(self) -> float:
        """Length of the run."""

    def streams(self, random: Random) -> Streams:
        """Draws the streams.

        Raises:
            WorkloadError: They are too many.
        """


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the run in which the rate is constant, or, for a wave, bounded by `rate`."""

    begin_s: float
    end_s: float
    rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PoissonWorkload:
    """Arrivals of a Poisson process whose rate follows a shape.

    Shapes: `poisson` is constant; `step` rises to `peak` × `rate` for the second third of the run; `sine` swings
    between `rate` and `peak` × `rate`; `flash` jumps to `peak` × `rate` for `FLASH_S` (at most a tenth of the run) in
    its middle.
    """

    shape: str
    rate: float
    """Streams per second, the lowest."""
    peak: float
    durations: Distribution
    horizon_s: float

    @property
    def text(self) -> str:
        rate = f"{self.rate:g}/s" if self.shape == "poisson" else f"{self.rate:g} to {self.rate * self.peak:g}/s"
        return f"{self.shape} {rate}, durations {self.durations}, {self.horizon_s / 3600:g} h"

    def pieces(self) -> list[Piece]:
        low, high, end = self.rate, self.rate * self.peak, self.horizon_s
        if self.shape == "poisson":
            return [Piece(0.0, end, low)]
        if self.shape == "sine":
            return [Piece(0.0, end, high)]
        begin, length = (end / 3, end / 3) if self.shape == "step" else (end / 2, min(FLASH_S, end / 10))
        return [Piece(0.0, begin, low), Piece(begin, begin + length, high), Piece(begin + length, end, low)]

    def rate_at(self, at_s: float) -> float:
        """Returns the rate of a sine wave, which begins at its lowest."""
        phase = 2 * math.pi * SINE_PERIODS * at_s / self.horizon_s
        return self.rate * (1 + (self.peak - 1) * (1 - math.cos(phase)) / 2)

    def streams(self, random: Random) -> Streams:
        pieces = self.pieces()
        expected = sum((piece.end_s - piece.begin_s) * piece.rate for piece in pieces)
        if expected > STREAMS_MAX:
            raise WorkloadError(
                f"{self.text}: about {expected:,.0f} streams, at most {STREAMS_MAX:,} can be simulated; "
                "lower --rate, --peak or --hours"
            )
        arrived_at, duration = array("d"), array("d")
        draw, waves = self.durations.draw, self.shape == "sine"
        for piece in pieces:
            at = piece.begin_s
            while piece.rate > 0:
                at -= math.log(1.0 - random.random()) / piece.rate
                if at >= piece.end_s:
                    break
                if waves and random.random() * piece.rate > self.rate_at(at):
                    continue
                arrived_at.append(at)
                duration.append(draw(random))
        changes = [
            RateChange(after.begin_s, after.rate > before.rate)
            for before, after in pairwise(pieces)
            if after.rate != before.rate
        ]
        return Streams(arrived_at, duration, self.horizon_s, tuple(changes))


SHAPES = {"poisson": 1.0, "step": STEP_PEAK, "sine": SINE_PEAK, "flash": FLASH_PEAK}
"""Shapes with their default peaks."""
