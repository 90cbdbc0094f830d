from __future__ import annotations

from pathlib import Path

from penstock.cli.up.log_pump import LogPump
from penstock.cli.up.observation import Deployment, Observation, Phase, Replica
from penstock.cli.up.progress import PlainView


class Lines(PlainView):
    def __init__(self) -> None:
        self.printed: list[tuple[str, str]] = []

    def log_line(self, label: str, line: str) -> None:
        self.printed.append((label, line))


def seen(*logs: Path) -> Observation:
    replicas = (Replica(f"echo-1-r{i}", "echo-1", Phase.READY, log_path=str(log)) for i, log in enumerate(logs))
    return Observation(1, 1, replicas=tuple(replicas))


def test_lines_of_every_replica_are_printed_with_its_label(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    view = Lines()
    pump = LogPump(view)
    pump.follow(seen(one, two), {"echo-1": "echo"})
    one.write_text("a\n")
    two.write_text("b\n")
    pump.print_new()
    pump.print_new()
    assert view.printed == [("echo/r0", "a"), ("echo/r1", "b")]


def test_last_words_of_a_replica_that_is_gone_are_printed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    view = Lines()
    pump = LogPump(view)
    pump.follow(seen(log), {})
    log.write_text("last words")
    pump.follow(seen(), {})
    assert view.printed == [("echo-1/r0", "last words")]
    pump.print_rest()
    assert len(view.printed) == 1


def test_replica_without_a_log_yet_is_followed_later(tmp_path: Path) -> None:
    view = Lines()
    pump = LogPump(view)
    pump.follow(Observation(1, 1, replicas=(Replica("echo-1-r0", "echo-1", Phase.STARTING),)), {})
    log = tmp_path / "log"
    log.write_text("a\nrest")
    pump.follow(seen(log), {})
    pump.print_rest()
    assert view.printed == [("echo-1/r0", "a"), ("echo-1/r0", "rest")]


def building(log: Path, phase: str) -> Observation:
    return Observation(1, 1, deployments=(Deployment("echo", "echo-1", phase=phase, build_log_path=str(log)),))


def test_a_build_is_shown_while_it_runs_and_to_its_end(tmp_path: Path) -> None:
    log = tmp_path / "build"
    view = Lines()
    pump = LogPump(view)
    log.write_text("collecting\n")
    pump.follow(building(log, "BUILDING"), {"echo-1": "echo"})
    pump.print_new()
    log.write_text("collecting\ndone\n")
    pump.follow(building(log, "DEPLOYING"), {"echo-1": "echo"})
    pump.print_new()
    assert view.printed == [("echo/build", "collecting"), ("echo/build", "done")]


def test_the_build_of_an_earlier_life_is_not_shown_again(tmp_path: Path) -> None:
    log = tmp_path / "build"
    log.write_text("long ago\n")
    view = Lines()
    pump = LogPump(view)
    pump.follow(building(log, "ACTIVE"), {})
    pump.print_rest()
    assert view.printed == []
