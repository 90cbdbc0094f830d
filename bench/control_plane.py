"""Measures the controller under simulated fleets: real process, real calls, simulated runners and edges.

python bench/control_plane.py                        100 and 1,000 runners, idle and with churn; into bench/RESULTS.md
python bench/control_plane.py --fleets 10000         a fleet that has to be asked for; nothing is written
python bench/control_plane.py --fleets 100 --seconds 5
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from penstock_bench.control.fleet import FLEETS, Fleet
from penstock_bench.control.program import measure_control_plane
from penstock_bench.control.tables import SECTION
from penstock_bench.machine import raise_descriptor_limit

RESULTS = Path(__file__).resolve().parent / "RESULTS.md"


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ",".join(fleet.key for fleet in FLEETS)
    parser.add_argument("--fleets", metavar="KEYS", help=f"comma-separated, of {names} (default: those below 10,000)")
    parser.add_argument("--seconds", type=float, default=20.0, help="measured time per fleet (default %(default)g)")
    parser.add_argument("--warm-up", type=float, default=5.0, help="seconds before that (default %(default)g)")
    parser.add_argument(
        "--output", type=Path, help="put the section into this file (default bench/RESULTS.md; none with --fleets)"
    )
    return parser.parse_args(arguments)


def chosen_fleets(keys: str | None) -> list[Fleet]:
    if not keys:
        return [fleet for fleet in FLEETS if fleet.standard]
    wanted = keys.split(",")
    known = {fleet.key for fleet in FLEETS}
    if unknown := [key for key in wanted if key not in known]:
        raise SystemExit(f"--fleets: no fleet {', '.join(unknown)}; there are {', '.join(f.key for f in FLEETS)}")
    return [fleet for fleet in FLEETS if fleet.key in wanted]


def main(arguments: Sequence[str] = sys.argv[1:]) -> int:
    options = parse_arguments(arguments)
    fleets = chosen_fleets(options.fleets)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    raise_descriptor_limit()
    text, complete = measure_control_plane(fleets, seconds=options.seconds, warm_s=options.warm_up)
    print(text)
    output: Path | None = options.output or (None if options.fleets else RESULTS)
    if output is not None:
        output.write_text(SECTION.put(output.read_text() if output.exists() else "", text))
        print(f"written to {output}", file=sys.stderr)
    return 0 if complete else 1


if __name__ == "__main__":
    raise SystemExit(main())
