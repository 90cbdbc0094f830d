"""What `running_platform` promises to the tests that use it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from penstock_testing.platform import PlatformError, is_alive, process_tree, running_platform
from penstock_testing.static_platform import wait_until


def test_every_kind_of_process_is_found_and_nothing_is_left() -> None:
    with running_platform(["examples/echo"], replicas=2) as platform:
        counts = {kind: len(platform.pids(kind)) for kind in ("up", "controller", "edge", "runner")}
        everything = set(process_tree(platform.process.pid))
        status = platform.stop()

    assert counts == {"up": 1, "controller": 1, "edge": 1, "runner": 2}
    assert status == 0
    assert not any(is_alive(pid) for pid in everything)


def test_an_adopted_runner_is_found_and_ended() -> None:
    with running_platform(["examples/echo"]) as platform:
        (controller,), runners = platform.pids("controller"), platform.pids("runner")
        os.kill(controller, signal.SIGKILL)
        wait_until(lambda: platform.pids("controller") not in ([], [controller]), 30, "another controller")
        wait_until(lambda: platform.pids("runner") == runners, 30, "the controller knows the runner")
        platform.stop()

    assert not any(is_alive(pid) for pid in runners)


def test_a_model_that_does_not_load_shows_its_log(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("model_name: broken\n")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.py").write_text("raise RuntimeError('no such weights')\n")

    with pytest.raises(PlatformError, match="no such weights"), running_platform([tmp_path]):
        pass


def test_the_failure_of_a_test_is_not_hidden_by_the_end_of_the_platform() -> None:
    def failing_test() -> None:
        with running_platform(["examples/echo"]) as platform:
            platform.process.kill()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing_test()
