"""Measures a call from chainlet to chainlet, beside the same functions over httpx and FastAPI.

python bench/hop.py                       every row, five rounds; into bench/RESULTS.md
python bench/hop.py --only j64,a1         some rows; nothing is written
python bench/hop.py --rounds 7 --seconds 3
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from penstock_bench.hop.program import measure_hop
from penstock_bench.hop.rows import ROWS, Row
from penstock_bench.hop.tables import SECTION
from penstock_bench.section_program import run_rows


def main(arguments: Sequence[str] = sys.argv[1:]) -> int:
    def measure(rows: Sequence[Row], rounds: int, seconds: float, warm_s: float) -> tuple[str, bool]:
        return measure_hop(rows, rounds=rounds, seconds=seconds, warm_s=warm_s)

    return run_rows(__doc__ or "", arguments, ROWS, SECTION, measure)


if __name__ == "__main__":
    raise SystemExit(main())
