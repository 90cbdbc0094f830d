"""The program of a benchmark that measures rows, prints a section, and puts it into RESULTS.md."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from penstock_bench.machine import raise_descriptor_limit
from penstock_bench.section import Section

RESULTS = Path(__file__).resolve().parents[1] / "RESULTS.md"
WARM_S = 0.7


class Keyed(Protocol):
    """A row, which people name by its key."""

    @property
    def key(self) -> str: ...


R = TypeVar("R", bound=Keyed)


def run_rows(
    description: str,
    arguments: Sequence[str],
    rows: Sequence[R],
    section: Section,
    measure: Callable[[Sequence[R], int, float, float], tuple[str, bool]],
) -> int:
    """Measures all rows, or those of `--only`; returns the exit status.

    Args:
        measure: Of rows, rounds, seconds and seconds to warm up; returns the section, and whether it is complete.
    """
    options = parse_arguments(description, arguments, rows)
    chosen = chosen_rows(options.only, rows)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    raise_descriptor_limit()
    text, complete = measure(chosen, options.rounds, options.seconds, WARM_S)
    print(text)
    output: Path | None = options.output or (None if options.only else RESULTS)
    if output is not None:
        output.write_text(section.put(output.read_text() if output.exists() else "", text))
        print(f"written to {output}", file=sys.stderr)
    return 0 if complete else 1


def parse_arguments(description: str, arguments: Sequence[str], rows: Sequence[Keyed]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="ROWS", help=f"comma-separated, of {','.join(row.key for row in rows)}")
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds (default %(default)d)")
    parser.add_argument(
        "--seconds", type=float, default=2.0, help="measured time per row, server and round (default %(default)g)"
    )
    parser.add_argument(
        "--output", type=Path, help="put the section into this file (default bench/RESULTS.md; none with --only)"
    )
    return parser.parse_args(arguments)


def chosen_rows(keys: str | None, rows: Sequence[R]) -> list[R]:
    """Returns the rows that are named, all without names. Raises SystemExit for one that there is not."""
    if not keys:
        return list(rows)
    wanted = keys.split(",")
    known = [row.key for row in rows]
    if unknown := [key for key in wanted if key not in known]:
        raise SystemExit(f"--only: no row {', '.join(unknown)}; there are {', '.join(known)}")
    return [row for row in rows if row.key in wanted]
