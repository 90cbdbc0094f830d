"""Entry point: `python -P -m penstock_runner`, or the console script `runner`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

import structlog
import uvloop

from penstock.lifeline import end_process_group, watch_lifeline
from penstock.logs import configure_logs
from penstock.truss import PenstockSettings
from penstock_runner.options import Options, parse_options
from penstock_runner.process import RunnerProcess, end_process
from penstock_runner.replica import Server


def main() -> int:
    options = parse_options()
    configure_logs("runner", options.log_format)
    structlog.contextvars.bind_contextvars(replica=options.replica_id)
    if options.lifeline_fd is not None:
        try:
            watch_lifeline(options.lifeline_fd, end_process_group)
        except ValueError as exc:
            sys.stderr.write(f"runner: error: {exc}\n")
            return 2
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(options))


async def _serve(options: Options) -> int:
    process = RunnerProcess(options, _make_server)
    status = await process.run()
    # From here on only user code can hold the process up: tasks, threads, exit handlers.
    end_process(status, at_once=process.is_loading)
    return status


def _make_server(
    replica_id: str, deployment_id: str, settings: PenstockSettings, on_change: Callable[[], None]
) -> Server:
    from penstock_runner.server import RunnerServer

    return RunnerServer(replica_id=replica_id, deployment_id=deployment_id, settings=settings, on_change=on_change)


if __name__ == "__main__":
    sys.exit(main())
