from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from penstock_controller.simulate.report import FIGURES

if TYPE_CHECKING:
    from penstock_testing.controller_command import ControllerCommand

SHORT = ("simulate", "--hours", "0.2", "--rate", "0.05", "--durations", "exp:100", "--cold-start", "20")


def test_a_run_shows_what_was_simulated_every_figure_and_the_rules(controller: ControllerCommand) -> None:
    done = controller(*SHORT, "--set", "scale_down_delay=60", "--seed", "7")

    assert (done.status, done.err) == (0, "")
    assert "workload: poisson 0.05/s, durations exp:100, 0.2 h" in done.out
    assert "scaling:  0 to 100 replicas of 8 slots, scale_down_delay 60 s, buffer_slots 0, spread" in done.out
    assert "platform: 2 edges, queue_timeout 30 s, cold start const:20, failure rate 0" in done.out
    assert "seeds:    7" in done.out
    assert [line.split()[0] for line in done.out.splitlines() if line.split()[:1] and line.split()[0] in FIGURES] == [
        *FIGURES
    ]
    assert "the target was changed by: " in done.out and "initial" in done.out


def test_the_same_seed_prints_the_same_and_several_seeds_their_spread(controller: ControllerCommand) -> None:
    first, again = controller(*SHORT), controller(*SHORT)
    several = controller(*SHORT, "--seeds", "3")

    assert first.out == again.out
    assert "seeds:    1 to 3" in several.out
    assert "DEVIATION" in several.out


def test_json_carries_settings_and_figures(controller: ControllerCommand) -> None:
    document = controller(*SHORT, "--seeds", "2", "-o", "json").json()

    assert (document["apiVersion"], document["kind"]) == ("penstock/v1", "Simulation")
    assert document["settings"]["max_concurrency"] == 8
    assert document["settings"]["placement"] == "spread"
    assert [row["seed"] for row in document["seeds"]] == [1, 2]
    assert document["summary"]["streams_cut"]["mean"] == 0
    assert document["rules"]["initial"] == 2


def test_settings_are_taken_from_a_truss_directory(controller: ControllerCommand, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        "model_name: m\npenstock:\n  autoscaling: {min_replica: 1, max_replica: 3, max_concurrency: 2}\n"
        "  limits: {queue_timeout: 5}\n"
    )
    done = controller(*SHORT, "--config", str(tmp_path), "--set", "max_replica=4")

    assert "scaling:  1 to 4 replicas of 2 slots" in done.out
    assert "queue_timeout 5 s" in done.out


def test_arrivals_come_from_a_csv_file(controller: ControllerCommand, tmp_path: Path) -> None:
    trace = tmp_path / "calls.csv"
    trace.write_text("arrived_at_s,duration_s\n10,100\n20,200\n")
    document = controller("simulate", "--arrivals", str(trace), "-o", "json").json()

    assert document["workload"] == "calls.csv, 2 streams, 0.0611 h"
    assert document["seeds"][0]["streams"] == 2


def test_a_recorded_load_brings_its_settings_and_cold_starts(controller: ControllerCommand, tmp_path: Path) -> None:
    trace = tmp_path / "load.jsonl"
    shared = {"kind": "load", "deployment": "echo-1", "name": "echo", "waiting": 0, "refused_total": 0}
    scaling = {"min_replica": 1, "max_replica": 2, "max_concurrency": 3, "placement": "spread", "metric": "streams"}
    lines = [
        {"kind": "penstock-load-trace", "version": 1},
        {**shared, "t": 0, "active": 0, "admitted_total": 0, "cold_starts": [], "autoscaling": scaling},
        {**shared, "t": 100, "active": 2, "admitted_total": 4, "cold_starts": [7.5]},
        {"kind": "end", "t": 300},
    ]
    trace.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = controller("simulate", "--arrivals", str(trace), "--deployment", "echo")

    assert "workload: load.jsonl (echo-1), 0.0833 h" in done.out
    assert "scaling:  1 to 2 replicas of 3 slots" in done.out
    assert "cold start recorded (1 values, mean 7.5)" in done.out


def test_a_comparison_names_every_policy(controller: ControllerCommand) -> None:
    done = controller(*SHORT, "--compare", "kpa,hpa", "-o", "json").json()
    assert [row["policy"] for row in done["policies"]] == ["penstock", "kpa", "hpa"]

    shown = controller(*SHORT, "--compare").out
    assert all(name in shown for name in ("penstock", "kpa", "hpa", "ray_serve", "baseten_literal"))


def test_a_plot_is_written(controller: ControllerCommand, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "run.svg"

    assert controller(*SHORT, "--plot", str(picture)).status == 0
    assert picture.read_text().lstrip().startswith("<?xml")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            ("--set", "max_replica=0"),
            "controller: --set: max_replica: must be a whole number from 1 to 10000, got",
        ),
        (("--arrivals", "nowhere.csv"), "--arrivals nowhere.csv: is neither poisson, step, sine, flash nor a file"),
        (("--durations", "exp"), "must be exp:MEAN"),
        (("--rate", "-1"), "must be a number from 0 to 100000, got '-1'"),
        (("--rate", "nan"), "must be a number from 0 to 100000, got 'nan'"),
        (("--rate", "99999", "--hours", "9"), "at most 5,000,000 can be simulated"),
        (("--compare", "k9s"), "there is no such policy"),
        (("--edges", "0"), "must be a whole number from 1 to 100"),
    ],
)
def test_bad_arguments_end_with_usage(
    controller: ControllerCommand, arguments: tuple[str, ...], complaint: str
) -> None:
    done = controller("simulate", *arguments)

    assert done.status == 2
    assert complaint in done.err
    assert "Traceback" not in done.err


def test_a_folder_without_config_is_named(controller: ControllerCommand, tmp_path: Path) -> None:
    done = controller("simulate", "--config", str(tmp_path))

    assert done.status == 2
    assert "config.yaml" in done.err


def test_a_file_that_cannot_be_read_is_named(controller: ControllerCommand, tmp_path: Path) -> None:
    binary = tmp_path / "trace"
    binary.write_bytes(b"\xff\xfe\x00")

    assert "trace: cannot be read: is no UTF-8 text" in controller("simulate", "--arrivals", str(binary)).err
    assert "cannot be read: Is a directory" in controller("simulate", "--arrivals", str(tmp_path)).err


def test_no_controller_is_needed_or_asked(controller: ControllerCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_CONTROLLER", "unix:/nowhere")

    assert controller(*SHORT).status == 0
