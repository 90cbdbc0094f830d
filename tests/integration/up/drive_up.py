"""`penstock up` with the fakes of this folder as its children: `python drive_up.py STATE_DIR ARGUMENTS…`."""

from __future__ import annotations

import sys
from pathlib import Path
from unittest import mock

from penstock.cli.main import main
from penstock.cli.up import command, restart_policy
from penstock.cli.up.host_port import HostPort

HERE = Path(__file__).parent


def controller(state_dir: Path, lifeline_fd: int) -> list[str]:
    program = str(HERE / "fake_controller.py")
    return [sys.executable, program, "serve", f"--state-dir={state_dir}", f"--lifeline-fd={lifeline_fd}"]


def edge(
    listen: HostPort, grpc_listen: HostPort | None, address: str, drain_timeout_s: float, lifeline_fd: int
) -> list[str]:
    return [
        sys.executable,
        str(HERE / "fake_edge.py"),
        f"--state-dir={STATE_DIR}",
        f"--listen={listen}",
        f"--grpc-listen={grpc_listen or 'off'}",
        f"--lifeline-fd={lifeline_fd}",
    ]


if __name__ == "__main__":
    STATE_DIR = Path(sys.argv[1])
    programs = command.Programs(controller, edge)
    # The delays grow as ever, from a fifth of what they are: 0.02 s, 0.08 s, 0.32 s, 1.28 s.
    faster = mock.patch.object(restart_policy, "DELAY_FIRST_S", restart_policy.DELAY_FIRST_S / 5)
    with faster, mock.patch.object(command, "Programs", return_value=programs):
        sys.exit(main(["up", *sys.argv[2:]]))
