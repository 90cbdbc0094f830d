"""`controller serve` that starts fake runners: python serve_with_fake_runners.py STATE_DIR [LIFELINE_FD]."""

from __future__ import annotations

import sys
from pathlib import Path

from penstock.logs import configure_logs
from penstock_controller.serving import ServeOptions, serve

if __name__ == "__main__":
    configure_logs("controller", "json")
    fake = Path(__file__).with_name("fake_runner.py")
    sys.exit(
        serve(
            ServeOptions(
                state_dir=Path(sys.argv[1]),
                lifeline_fd=int(sys.argv[2]) if len(sys.argv) > 2 else None,
                runner_command=(sys.executable, "-P", str(fake)),
            )
        )
    )
