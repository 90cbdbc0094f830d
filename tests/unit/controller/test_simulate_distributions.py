from __future__ import annotations

from random import Random

import pytest

from penstock_controller.simulate.distributions import RECORDED, Distribution, parse_distribution


@pytest.mark.parametrize("text", ["const:60", "uniform:30:90", "exp:60", "lognormal:60:1.2", "bimodal:20:180:0.25"])
def test_values_have_the_mean_that_the_distribution_names(text: str) -> None:
    distribution, random = parse_distribution(text), Random(7)

    values = [distribution.draw(random) for _ in range(20_000)]

    assert distribution.mean == 60
    assert sum(values) / len(values) == pytest.approx(60, rel=0.06)
    assert min(values) >= 0
    assert str(distribution) == text


def test_a_bare_number_is_a_constant() -> None:
    assert parse_distribution("12.5") == Distribution("const", (12.5,))


def test_recorded_values_are_drawn_as_they_are() -> None:
    recorded, random = Distribution(RECORDED, (1.0, 2.0, 6.0)), Random(1)

    assert {recorded.draw(random) for _ in range(100)} == {1.0, 2.0, 6.0}
    assert recorded.mean == 3.0


def test_a_bimodal_share_of_long_ones_is_long() -> None:
    distribution, random = parse_distribution("bimodal:1:10000:0.3"), Random(3)

    long = sum(distribution.draw(random) > 50 for _ in range(10_000))

    assert long == pytest.approx(3000, rel=0.1)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("gauss:3", "must be a number of seconds or one of const:SECONDS"),
        ("exp", "must be exp:MEAN"),
        ("exp:1:2", "must be exp:MEAN"),
        ("exp:-1", "MEAN must be a number from 0 to 604800, got '-1'"),
        ("exp:nan", "MEAN must be a number"),
        ("exp:inf", "MEAN must be a number"),
        ("lognormal:60:9", "SIGMA must be a number from 0 to 5"),
        ("bimodal:1:2:1.5", "SHARE must be a number from 0 to 1"),
        ("uniform:9:3", "LOW must not be above HIGH"),
        ("", "must be a number of seconds"),
    ],
)
def test_a_wrong_distribution_is_refused_with_what_is_right(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint.replace("(", r"\(")):
        parse_distribution(text)
