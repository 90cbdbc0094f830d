"""Measures a call from chainlet to chainlet, beside the same functions over httpx and FastAPI.

python bench/hop.py                       every row, five rounds; into bench/RESULTS.md
python bench/hop.py --only j64,a1        some rows; nothing is written
python bench/hop.py --rounds 7 --seconds 3
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from penstock_bench.hop.program import measure_hop
from penstock_bench.hop.rows import ROWS, Row
from penstock_bench.hop.tables import SECTION

RESULTS = Path(__file__).resolve().parent / "RESULTS.md"


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="ROWS", help=f"comma-separated, of {','.join(row.key for row in ROWS)}")
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds (default %(default)d)")
    parser.add_argument(
        "--seconds", type=float, default=2.0, help="measured time per row, server and round (default %(default)g)"
    )
    parser.add_argument(
        "--output", type=Path, help="put the section into this file (default bench/RESULTS.md; none with --only)"
    )
    return parser.parse_args(arguments)


def chosen_rows(keys: str | None) -> list[Row]:
    if not keys:
        return list(ROWS)
    wanted = keys.split(",")
    known = [row.key for row in ROWS]
    if unknown := [key for key in wanted if key not in known]:
        raise SystemExit(f"--only: no row {', '.join(unknown)}; there are {', '.join(known)}")
    return [row for row in ROWS if row.key in wanted]


def main(arguments: Sequence[str] = sys.argv[1:]) -> int:
    options = parse_arguments(arguments)
    rows = chosen_rows(options.only)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    text, complete = measure_hop(rows, rounds=options.rounds, seconds=options.seconds, warm_s=0.7)
    print(text)
    output: Path | None = options.output or (None if options.only else RESULTS)
    if output is not None:
        output.write_text(SECTION.put(output.read_text() if output.exists() else "", text))
        print(f"written to {output}", file=sys.stderr)
    return 0 if complete else 1


if __name__ == "__main__":
    raise SystemExit(main())
