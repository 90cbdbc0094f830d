"""`controller events --record`: writes the load to a file as it changes."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Literal, Self, TextIO

from penstock.api.control.v1 import admin_pb2, admin_pb2_grpc, load_pb2
from penstock_controller.cli import exit_status
from penstock_controller.cli.failures import CommandError
from penstock_controller.cli.following import follow
from penstock_controller.cli.load_trace import LoadTrace
from penstock_controller.cli.quantities import counted


def record(arguments: argparse.Namespace, env: Mapping[str, str]) -> int:
    """Records until KeyboardInterrupt or `arguments.duration` is over.

    Raises:
        CommandError: The file exists or cannot be written, or the controller did not answer the first time.
    """
    trace = LoadTrace(arguments.deployment)

    def attempt(stub: admin_pb2_grpc.AdminServiceStub, left_s: float | None) -> Iterator[load_pb2.RecordLoadResponse]:
        answer_s = arguments.timeout if left_s is None else min(arguments.timeout, left_s)
        trace.connected(stub.GetStatus(admin_pb2.GetStatusRequest(), timeout=answer_s).controller)
        yield from stub.RecordLoad(load_pb2.RecordLoadRequest(deployment=arguments.deployment), timeout=left_s)

    try:
        with _TraceFile(arguments.record) as file:
            try:
                for response in follow(arguments, env, attempt, duration_s=arguments.duration, tell=_tell):
                    begins = trace.lines == 0
                    file.write(trace.load(response, time.monotonic()))
                    if begins:
                        _tell("recording; Ctrl-C ends it")
            except KeyboardInterrupt:
                pass
            file.write(trace.end(time.monotonic()))
    except BrokenPipeError:
        raise
    except OSError as exc:
        raise CommandError(f"--record: cannot write {arguments.record}: {exc.strerror}") from exc
    gaps = f", {counted(trace.gaps, 'gap')}" if trace.gaps else ""
    _tell(f"recorded {counted(trace.lines, 'line')}{gaps}")
    return exit_status.OK


class _TraceFile:
    """A file that is made with its first line, so that a controller that does not answer leaves none."""

    def __init__(self, name: str) -> None:
        """
        Args:
            name: Path of a file that does not exist, or of a pipe or device; "-" is the output of this process.

        Raises:
            CommandError: The file exists.
        """
        self._name = name
        self._file: TextIO | None = sys.stdout if name == "-" else None
        if os.path.isfile(name):
            raise CommandError(f"--record: {name} exists; give another name, or remove it")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None and self._file is not sys.stdout:
            self._file.close()

    def write(self, lines: list[str]) -> None:
        """Returns when the lines are with the system. Raises OSError."""
        if self._file is None:
            if not lines:
                return
            self._file = self._open()
        for line in lines:
            self._file.write(line)
            self._file.flush()

    def _open(self) -> TextIO:
        mode: Literal["w", "x"] = "w" if os.path.exists(self._name) else "x"
        return open(self._name, mode, encoding="utf-8")


def _tell(text: str) -> None:
    print(f"controller: {text}", file=sys.stderr, flush=True)
