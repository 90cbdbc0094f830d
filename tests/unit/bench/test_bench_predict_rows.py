from __future__ import annotations

from itertools import groupby
from pathlib import Path

import pytest

from penstock.truss import load_config
from penstock_bench.predict.rows import BARS, ROWS, Row

MODELS = Path(__file__).resolve().parents[3] / "bench" / "models"


def test_keys_are_unique() -> None:
    keys = [row.key for row in ROWS]

    assert sorted(set(keys)) == sorted(keys)


def test_rows_of_one_model_stand_together() -> None:
    models = [model for model, _ in groupby(ROWS, lambda row: row.model)]

    assert len(models) == len(set(models))


def test_every_bar_has_its_row_and_a_goal_that_is_harder() -> None:
    keys = {row.key for row in ROWS}

    for bar in BARS:
        assert bar.scenario in keys
        assert (bar.goal > bar.bar) is bar.at_least, bar.title


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.key)
def test_neither_server_makes_a_request_wait_for_another(row: Row) -> None:
    config = load_config(MODELS / row.model)

    assert config.predict_concurrency >= row.conns
    assert config.penstock.max_concurrency >= row.conns
