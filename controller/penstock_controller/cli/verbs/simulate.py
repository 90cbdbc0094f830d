"""`controller simulate`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from penstock.truss import ConfigError, load_config
from penstock_controller.cli import exit_status
from penstock_controller.cli.arguments import add_command, whole
from penstock_controller.cli.failures import CommandError
from penstock_controller.simulate import comparison, plot, report
from penstock_controller.simulate.autoscaler import OurAutoscaler
from penstock_controller.simulate.baselines.catalogue import BASELINES
from penstock_controller.simulate.distributions import RECORDED, Distribution, forms, parse_distribution
from penstock_controller.simulate.engine import SimulationError, simulate, streams_of
from penstock_controller.simulate.recording import RunRecord
from penstock_controller.simulate.scaled import DEFAULT_AUTOSCALING, SettingError, scaled
from penstock_controller.simulate.settings import COLD_START, SimulationSettings
from penstock_controller.simulate.traces import RecordedWorkload, read_csv, read_trace
from penstock_controller.simulate.workload import SHAPES, PoissonWorkload, Workload, WorkloadError

API_VERSION = "penstock/v1"

HOURS = 4.0
RATE = 0.1
DURATIONS = "exp:600"
TRACE_BYTES_MAX = 512 * 1024 * 1024
"""Largest file of arrivals."""


def add_parsers(commands: Any) -> None:
    parser = add_command(
        commands,
        "simulate",
        help="run the scaling policy on made-up or recorded load, without a controller",
        description=(
            "Runs the policy and the placement that run in production in virtual time, and shows what it costs and how "
            "long streams wait. Without --config the deployment has max_replica "
            f"{DEFAULT_AUTOSCALING['max_replica']} and max_concurrency {DEFAULT_AUTOSCALING['max_concurrency']}, else "
            "the defaults of config.yaml. The same seed gives the same run."
        ),
        examples=[
            "controller simulate --arrivals step --rate 0.05 --hours 4",
            "controller simulate --arrivals flash --set scale_down_delay=60 --set buffer_slots=8 --seeds 10",
            "controller simulate --arrivals sine --compare kpa,hpa --seeds 3 -o json",
            "controller simulate --config examples/echo --set max_replica=20 --durations lognormal:300:1.2",
            "controller simulate --arrivals trace.jsonl --set max_replica=8 --plot load.svg",
        ],
    )
    load = parser.add_argument_group("load")
    load.add_argument(
        "--arrivals",
        default="poisson",
        metavar="SHAPE|FILE",
        help="poisson, step (higher in the second third), sine (two waves), flash (a short crowd in the middle); or a "
        "file: CSV lines of arrived_at_s,duration_s, or what `controller events --record` has written; "
        "default: %(default)s",
    )
    load.add_argument(
        "--rate",
        type=_number(0, 100_000),
        default=RATE,
        metavar="PER_SECOND",
        help="streams per second where the rate is lowest; default: %(default)g",
    )
    peaks = ", ".join(f"{peak:g} for {shape}" for shape, peak in SHAPES.items() if peak != 1)
    load.add_argument(
        "--peak",
        type=_number(1, 1000),
        metavar="TIMES",
        help=f"the highest rate as a multiple of the lowest; default: {peaks}",
    )
    load.add_argument(
        "--durations",
        type=_distribution,
        default=DURATIONS,
        metavar="SECONDS|FORM",
        help=f"of streams; one of {forms()}; default: %(default)s",
    )
    load.add_argument(
        "--hours", type=_number(0.01, 720), help=f"length of the run; default: {HOURS:g}, or that of the file"
    )
    load.add_argument("--deployment", metavar="NAME", help="which one of a recorded load; id or model name")
    platform = parser.add_argument_group("platform")
    platform.add_argument("--config", type=Path, metavar="DIR", help="Truss directory whose settings are taken")
    platform.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="changes",
        help="change a setting: keys of penstock.autoscaling in config.yaml, queue_timeout, queue_streams_max",
    )
    platform.add_argument(
        "--cold-start",
        type=_distribution,
        metavar="SECONDS|FORM",
        help=f"from start to ready; default: {COLD_START}, or the recorded ones",
    )
    platform.add_argument(
        "--failure-rate", type=_number(0, 1), default=0.0, metavar="SHARE", help="of starts that fail, 0 to 1"
    )
    platform.add_argument("--edges", type=whole(1, 100), default=2, metavar="N", help="default: %(default)s")
    delay = _number(0, 60)
    default = SimulationSettings.__dataclass_fields__
    for option, name, text in (
        ("--network-delay", "network_delay_s", "between edges and replicas, one way"),
        ("--report-delay", "report_delay_s", "of reports to the controller, and of its commands"),
        ("--snapshot-delay", "snapshot_delay_s", "of snapshots to the edges, and of their demand"),
    ):
        platform.add_argument(
            option, type=delay, default=default[name].default, metavar="SECONDS", help=f"{text}; default: %(default)g"
        )
    platform.add_argument(
        "--no-reconnect", action="store_true", help="clients whose stream was cut stay away (ours cuts none)"
    )
    shown = parser.add_argument_group("runs and output")
    shown.add_argument("--seed", type=whole(0, 2**31), default=1, metavar="N", help="the first; default: %(default)s")
    shown.add_argument("--seeds", type=whole(1, 1000), default=1, metavar="N", help="runs, each with the next seed")
    shown.add_argument(
        "--compare",
        nargs="?",
        const="",
        metavar="NAMES",
        help=f"run other autoscalers on the same streams: all, or some of {', '.join(BASELINES)} (with commas)",
    )
    shown.add_argument(
        "--flap-seconds",
        type=_number(0, 86_400),
        default=default["flap_s"].default,
        metavar="SECONDS",
        help="a rise of the target within this time after a fall is a flap; default: %(default)g",
    )
    shown.add_argument("--plot", type=Path, metavar="FILE", help="write a picture of the first seed (.svg or .png)")
    shown.add_argument("-o", "--output", choices=("table", "json"), default="table", help="default: %(default)s")
    parser.set_defaults(run=run)


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything that the arguments say."""

    workload: Workload
    settings: SimulationSettings
    seeds: tuple[int, ...]


def run(arguments: argparse.Namespace, env: Mapping[str, str]) -> int:
    del env
    try:
        if arguments.plot is not None:
            plot.check(arguments.plot)
        scenario = _scenario(arguments)
        if arguments.compare is None:
            text, document, records = _alone(scenario)
        else:
            text, document, records = _compared(scenario, arguments.compare)
        if arguments.plot is not None:
            plot.plot(arguments.plot, records, scenario.workload.text)
    except (WorkloadError, SettingError, comparison.ComparisonError) as exc:
        raise CommandError(str(exc), exit_status.USAGE) from exc
    except (SimulationError, plot.PlotError) as exc:
        raise CommandError(str(exc)) from exc
    if arguments.output == "json":
        print(json.dumps({"apiVersion": API_VERSION, "kind": "Simulation", **_facts(scenario), **document}, indent=2))
    else:
        print(text, end="")
    return exit_status.OK


def _alone(scenario: Scenario) -> tuple[str, dict[str, Any], Sequence[RunRecord]]:
    records: list[RunRecord] = []
    reports: list[report.Report] = []
    rules: dict[str, int] = {}
    for seed in scenario.seeds:
        settings = replace(scenario.settings, seed=seed)
        record = simulate(settings, streams_of(scenario.workload, seed), OurAutoscaler(settings.scaling))
        reports.append(report.report_of(record))
        for rule, count in record.rules.items():
            rules[rule] = rules.get(rule, 0) + count
        records.append(record)
        del records[1:]  # the plot shows the first seed
    changes = ", ".join(f"{rule} {count}" for rule, count in sorted(rules.items(), key=lambda item: -item[1]))
    text = f"{_heading(scenario)}\n{report.render_table(reports)}\nthe target was changed by: {changes or 'nothing'}\n"
    return text, {**report.to_json(reports, scenario.seeds), "rules": rules}, records


def _compared(scenario: Scenario, names: str) -> tuple[str, dict[str, Any], Sequence[RunRecord]]:
    baselines = comparison.chosen([name for name in names.split(",") if name])
    outcome = comparison.compare(scenario.settings, scenario.workload, scenario.seeds, baselines)
    text = f"{_heading(scenario)}\n{comparison.render_table(outcome)}"
    return text, comparison.to_json(outcome), [one.first for one in outcome.contenders]


def _scenario(arguments: argparse.Namespace) -> Scenario:
    workload = _workload(arguments)
    recorded = workload if isinstance(workload, RecordedWorkload) else None
    name = str(arguments.config or "the settings")
    if arguments.config is not None:
        try:
            penstock = load_config(arguments.config).raw.get("penstock") or {}
        except ConfigError as exc:
            raise SettingError(str(exc)) from exc
    elif recorded is not None and recorded.autoscaling:
        penstock, name = {"autoscaling": recorded.autoscaling}, arguments.arrivals
    else:
        penstock = {"autoscaling": DEFAULT_AUTOSCALING}
    deployment = scaled(penstock, arguments.changes, name)
    cold_start = arguments.cold_start or COLD_START
    if recorded is not None and recorded.cold_starts and arguments.cold_start is None:
        cold_start = Distribution(RECORDED, recorded.cold_starts)
    settings = SimulationSettings(
        scaling=deployment.scaling,
        seed=arguments.seed,
        edges=arguments.edges,
        queue_timeout_s=deployment.queue_timeout_s,
        queue_streams_max=deployment.queue_streams_max,
        cold_start=cold_start,
        failure_rate=arguments.failure_rate,
        network_delay_s=arguments.network_delay,
        report_delay_s=arguments.report_delay,
        snapshot_delay_s=arguments.snapshot_delay,
        reconnect=not arguments.no_reconnect,
        flap_s=arguments.flap_seconds,
    )
    return Scenario(workload, settings, tuple(range(arguments.seed, arguments.seed + arguments.seeds)))


def _workload(arguments: argparse.Namespace) -> Workload:
    shape, hours = arguments.arrivals, arguments.hours
    if shape in SHAPES:
        return PoissonWorkload(
            shape=shape,
            rate=arguments.rate,
            peak=SHAPES[shape] if arguments.peak is None or shape == "poisson" else arguments.peak,
            durations=arguments.durations,
            horizon_s=3600 * (HOURS if hours is None else hours),
        )
    horizon_s = None if hours is None else 3600 * hours
    path = Path(shape)
    try:
        if path.stat().st_size > TRACE_BYTES_MAX:
            raise WorkloadError(f"{path}: is larger than {TRACE_BYTES_MAX // 2**20} MiB; give a shorter trace")
        with path.open(encoding="utf-8") as lines:
            is_record = lines.read(1) == "{"
            lines.seek(0)
            if is_record:
                return read_trace(lines, path.name, arguments.deployment, horizon_s)
            return read_csv(lines, path.name, horizon_s)
    except FileNotFoundError:
        raise WorkloadError(f"--arrivals {shape}: is neither {', '.join(SHAPES)} nor a file") from None
    except (OSError, UnicodeDecodeError) as exc:
        raise WorkloadError(f"{path}: cannot be read: {getattr(exc, 'strerror', None) or 'is no UTF-8 text'}") from exc


def _heading(scenario: Scenario) -> str:
    settings, scaling = scenario.settings, scenario.settings.scaling
    return (
        f"workload: {scenario.workload.text}\n"
        f"scaling:  {scaling.min_replica} to {scaling.max_replica} replicas of {scaling.max_concurrency} slots, "
        f"scale_down_delay {scaling.scale_down_delay_s:g} s, buffer_slots {scaling.buffer_slots}, "
        f"{scaling.placement.value}\n"
        f"platform: {settings.edges} edges, queue_timeout {settings.queue_timeout_s:g} s, cold start "
        f"{settings.cold_start}, failure rate {settings.failure_rate:g}\n"
        f"seeds:    {_seeds(scenario)}\n"
    )


def _seeds(scenario: Scenario) -> str:
    first, last = scenario.seeds[0], scenario.seeds[-1]
    return f"{first}" if first == last else f"{first} to {last}"


def _facts(scenario: Scenario) -> dict[str, Any]:
    settings, scaling = scenario.settings, scenario.settings.scaling
    return {
        "workload": scenario.workload.text,
        "settings": {
            **{name: getattr(scaling, name) for name in scaling.__dataclass_fields__},
            "edges": settings.edges,
            "queue_timeout_s": settings.queue_timeout_s,
            "queue_streams_max": settings.queue_streams_max,
            "cold_start": str(settings.cold_start),
            "failure_rate": settings.failure_rate,
            "reconnect": settings.reconnect,
        },
    }


def _number(low: float, high: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"must be a number from {low:g} to {high:g}, got {text!r}")
        return value

    return read


def _distribution(text: str) -> Distribution:
    try:
        return parse_distribution(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from None
