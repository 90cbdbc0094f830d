"""Compares Penstock with what one would run otherwise, on this machine, in one run.

python bench/run.py                      everything that is installed, three rounds, writes bench/RESULTS.md
python bench/run.py --quick              one short round of the rows that matter most, under 90 s, writes nothing
python bench/run.py --only s1,r150 --targets direct,penstock
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from penstock_bench import report
from penstock_bench.control.fleet import FLEETS
from penstock_bench.control.program import measure_control_plane
from penstock_bench.control.tables import SECTION as CONTROL_PLANE
from penstock_bench.generator import compile_generator, measure
from penstock_bench.hop.program import measure_hop
from penstock_bench.hop.rows import ROWS as HOP_ROWS
from penstock_bench.hop.tables import SECTION as HOP
from penstock_bench.machine import machine_facts, raise_descriptor_limit
from penstock_bench.predict.program import measure_predict
from penstock_bench.predict.rows import ROWS as PREDICT_ROWS
from penstock_bench.predict.tables import SECTION as PREDICT
from penstock_bench.processes import StartError
from penstock_bench.samples import LoadError, Sample
from penstock_bench.scenarios import SCENARIOS, Group, Scenario
from penstock_bench.targets import Direct, Endpoint, Nginx, Penstock, Ray, RayHaproxy, RunningPenstock, Target

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
WARM_UP = Scenario("warm-up", "", (Group("all", 8, 100),))
CONTROL_PLANE_S = 10.0
"""Measured time per simulated fleet; bench/control_plane.py alone takes more."""
VERSIONS = ("penstock", "uvicorn", "websockets", "uvloop", "fastapi", "starlette", "grpcio", "protobuf")


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ",".join(scenario.key for scenario in SCENARIOS)
    parser.add_argument("--quick", action="store_true", help="one short round without the long rows and without Ray")
    parser.add_argument("--only", metavar="ROWS", help=f"comma-separated, of {names}")
    parser.add_argument("--targets", metavar="NAMES", help="comma-separated, of direct,nginx,ray,ray-haproxy,penstock")
    parser.add_argument("--rounds", type=int, help="alternating rounds (default 3; 1 with --quick)")
    parser.add_argument(
        "--seconds", type=float, help="measured time per row, target and round (default 2; 1 with --quick)"
    )
    parser.add_argument(
        "--output", type=Path, help="write the tables here (default bench/RESULTS.md; none with --quick)"
    )
    parser.add_argument("--json", type=Path, help="write every sample here")
    parser.add_argument("--model", type=Path, default=ROOT / "examples" / "echo", help="Truss that echoes")
    parser.add_argument("--penstock-url", metavar="WS_URL", help="measure a running Penstock instead of starting one")
    parser.add_argument("--penstock-pids", metavar="NAME:PID,…", default="", help="its processes: edge:1,runner:2")
    parser.add_argument("--penstock-options", metavar="OPTIONS", default="", help="more options for `penstock up`")
    parser.add_argument(
        "--ray-python", metavar="PATH", default=sys.executable, help="an interpreter that has Ray Serve"
    )
    return parser.parse_args(arguments)


def chosen_scenarios(only: str | None, quick: bool) -> list[Scenario]:
    if not only:
        return [scenario for scenario in SCENARIOS if scenario.quick or not quick]
    wanted = only.split(",")
    known = {scenario.key: scenario for scenario in SCENARIOS}
    if unknown := [key for key in wanted if key not in known]:
        raise SystemExit(f"--only: no row {', '.join(unknown)}; there are {', '.join(known)}")
    return [scenario for scenario in SCENARIOS if scenario.key in wanted]


def chosen_targets(arguments: argparse.Namespace, folder: Path) -> list[Target]:
    model: Path = arguments.model
    makers: dict[str, Callable[[], Target]] = {
        "direct": lambda: Direct(folder, model),
        "nginx": lambda: Nginx(folder, model),
        "ray": lambda: Ray(folder, model, arguments.ray_python),
        "ray-haproxy": lambda: RayHaproxy(folder, model, arguments.ray_python),
        "penstock": lambda: Penstock(folder, model, arguments.penstock_options.split()),
    }
    if arguments.penstock_url:
        pids = [
            (name, int(pid)) for name, _, pid in (p.partition(":") for p in arguments.penstock_pids.split(",") if p)
        ]
        makers["penstock"] = lambda: RunningPenstock(folder, arguments.penstock_url, pids)
    quick = ["direct", "nginx", "penstock"]
    wanted = arguments.targets.split(",") if arguments.targets else quick if arguments.quick else list(makers)
    if unknown := [name for name in wanted if name not in makers]:
        raise SystemExit(f"--targets: no target {', '.join(unknown)}; there are {', '.join(makers)}")
    return [makers[name]() for name in makers if name in wanted]


class Benchmark:
    """Runs scenarios against started targets and keeps what came out."""

    def __init__(self, program: Path, seconds: float, warm_s: float) -> None:
        self._program = program
        self._seconds = seconds
        self._warm_s = warm_s
        self.results: dict[str, dict[str, dict[int, Sample]]] = {}
        self.failures: list[str] = []

    def warm_up(self, target: Target, endpoint: Endpoint) -> None:
        """Imports, allocator arenas and thread pools that the first stream pays for."""
        measure(self._program, WARM_UP, endpoint, target.processes(), seconds=0.3, warm_s=0.1)

    def run(self, scenario: Scenario, started: dict[Target, Endpoint], rounds: int) -> None:
        order = list(started)
        conns = sum(group.conns for group in scenario.groups)
        for number in range(1 if scenario.once else rounds):
            for target in order:
                if conns > target.conns_max:
                    self.failures.append(f"{scenario.key}, {target.name}: not asked, it refuses {conns} connections")
                    continue
                try:
                    sample = measure(
                        self._program,
                        scenario,
                        started[target],
                        target.processes(),
                        seconds=self._seconds,
                        warm_s=self._warm_s,
                    )
                except LoadError as error:
                    self.failures.append(f"{scenario.key}, {target.name}, round {number + 1}: {error}")
                    print(f"  {self.failures[-1]}", file=sys.stderr)
                    continue
                self.results.setdefault(scenario.key, {}).setdefault(target.name, {})[number] = sample
            order = order[1:] + order[:1]  # no target always runs after the same one

    def json(self) -> str:
        plain = {
            key: {
                name: {n: dataclasses.asdict(sample) for n, sample in rounds.items()}
                for name, rounds in targets.items()
            }
            for key, targets in self.results.items()
        }
        return json.dumps({"results": plain, "failures": self.failures}, indent=1)


def warn_when_busy() -> None:
    load, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    if load > 0.3 * cores:
        print(f"Note: the load average is {load:.1f} on {cores} cores: figures will be low and noisy.", file=sys.stderr)


def main(arguments: Sequence[str] = sys.argv[1:]) -> int:
    options = parse_arguments(arguments)
    scenarios = chosen_scenarios(options.only, options.quick)
    rounds = options.rounds or (1 if options.quick else 3)
    seconds = options.seconds or (1.0 if options.quick else 2.0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    raise_descriptor_limit()
    warn_when_busy()
    try:
        benchmark = Benchmark(compile_generator(BENCH / ".build"), seconds, 0.4 if options.quick else 0.7)
    except LoadError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1

    started: dict[Target, Endpoint] = {}
    skipped: dict[str, str] = {}
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        targets = chosen_targets(options, Path(folder))
        try:
            for target in targets:
                print(f"starting {target.name}", file=sys.stderr)
                try:
                    endpoint = target.start()
                    benchmark.warm_up(target, endpoint)
                    started[target] = endpoint
                except (StartError, LoadError) as error:
                    skipped[target.name] = str(error).splitlines()[0][:200]
                    print(f"skipped {target.name}: {error}", file=sys.stderr)
                    target.stop()
            for scenario in scenarios:
                print(f"{time.monotonic() - began:6.1f} s  {scenario.key}: {scenario.title}", file=sys.stderr)
                benchmark.run(scenario, started, rounds)
        finally:
            for target in targets:
                target.stop()
    facts = machine_facts(VERSIONS) | {
        "rounds": f"{rounds}, alternating between the targets, {seconds:g} s each after warming up; medians"
    }
    titles = {target.name: target.title for target in started}
    document = report.document(facts, titles, skipped, scenarios, benchmark.results, benchmark.failures)
    print(document)
    control_plane, predict, hop = "", "", ""
    if not (options.quick or options.only or options.targets):
        predict, _ = measure_predict(PREDICT_ROWS, rounds=rounds, seconds=seconds, warm_s=0.7)
        print(predict)
        hop, _ = measure_hop(HOP_ROWS, rounds=rounds, seconds=seconds, warm_s=0.7)
        print(hop)
        fleets = [fleet for fleet in FLEETS if fleet.standard]
        control_plane, _ = measure_control_plane(fleets, seconds=CONTROL_PLANE_S, warm_s=3.0)
        print(control_plane)
    if options.json:
        options.json.write_text(benchmark.json())
    output: Path | None = options.output or (None if options.quick else BENCH / "RESULTS.md")
    if output is not None:
        before = output.read_text() if output.exists() else ""
        document = report.keep_notes(document, before)
        for section, text in ((PREDICT, predict), (HOP, hop), (CONTROL_PLANE, control_plane)):
            document = section.put(document, text or section.take(before))
        output.write_text(document)
        print(f"written to {output}", file=sys.stderr)
    return 0 if benchmark.results else 1


if __name__ == "__main__":
    raise SystemExit(main())
