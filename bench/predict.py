"""Measures `predict` over HTTP through edge and runner, beside the same model without a hop.

python bench/predict.py                       every row, five rounds; into bench/RESULTS.md
python bench/predict.py --only p64,f64        some rows; nothing is written
python bench/predict.py --rounds 7 --seconds 3
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from penstock_bench.predict.program import measure_predict
from penstock_bench.predict.rows import ROWS, Row
from penstock_bench.predict.tables import SECTION
from penstock_bench.section_program import run_rows


def main(arguments: Sequence[str] = sys.argv[1:]) -> int:
    def measure(rows: Sequence[Row], rounds: int, seconds: float, warm_s: float) -> tuple[str, bool]:
        return measure_predict(rows, rounds=rounds, seconds=seconds, warm_s=warm_s)

    return run_rows(__doc__ or "", arguments, ROWS, SECTION, measure)


if __name__ == "__main__":
    raise SystemExit(main())
