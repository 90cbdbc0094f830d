"""The load of a deployment over the last seconds, in a bounded number of samples."""

from __future__ import annotations

Samples = tuple[tuple[float, float], ...]
"""(time, load from then on), in order."""

SAMPLES_MAX = 128


def with_load(samples: Samples, load: float, window_s: float, now: float) -> Samples:
    """Adds what the load is now, and drops what is older than the window.

    Above SAMPLES_MAX the two neighbours that lasted shortest become one with their mean, so the average stays what it
    is until the window cuts through them.
    """
    if not samples or samples[-1][1] != load:
        if samples and samples[-1][0] >= now:
            samples = samples[:-1]
        samples = (*samples, (now, load))
    begin = now - window_s
    outdated = 0
    while outdated + 1 < len(samples) and samples[outdated + 1][0] <= begin:
        outdated += 1
    samples = samples[outdated:]
    return samples if len(samples) <= SAMPLES_MAX else _merged(samples)


def average(samples: Samples, window_s: float, now: float) -> float:
    """Returns the mean over the window, weighted by time; over what is known of it when that is less."""
    begin = now - window_s
    area = 0.0
    span = 0.0
    for index, (at, load) in enumerate(samples):
        end = samples[index + 1][0] if index + 1 < len(samples) else now
        lasted = end - max(at, begin)
        if lasted > 0:
            area += load * lasted
            span += lasted
    if span > 0:
        return area / span
    return samples[-1][1] if samples else 0.0


def _merged(samples: Samples) -> Samples:
    # The last one goes on, so it is left out.
    index = min(range(len(samples) - 2), key=lambda i: samples[i + 2][0] - samples[i][0])
    (begin, first), (middle, second), (end, _) = samples[index : index + 3]
    lasted = end - begin
    mean = (first * (middle - begin) + second * (end - middle)) / lasted if lasted > 0 else second
    return (*samples[:index], (begin, mean), *samples[index + 2 :])
