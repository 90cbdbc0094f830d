"""The lifeline: a pipe by which processes learn that the one that started them is gone.

The owner keeps the only write end and never writes. Every process below it gets the read end by number
(`--lifeline-fd`) and passes it on to its own children. However the owner ends, kill -9 included, the kernel closes the
write end, and every reader sees the end of the pipe.
"""

from __future__ import annotations

import os
import signal
import stat
import threading
from collections.abc import Callable

LIFELINE_EXIT_STATUS = 70
"""Exit status of a process that ended because its owner is gone."""


class Lifeline:
    """The owner's end. Pass `read_fd` to children with `subprocess.Popen(pass_fds=(read_fd,))`."""

    def __init__(self) -> None:
        # Both ends are close-on-exec, so a child holds none but what pass_fds gives it.
        self.read_fd, self._write_fd = os.pipe()

    def close(self) -> None:
        """Ends every process that watches the lifeline."""
        for name in ("_write_fd", "read_fd"):
            fd = getattr(self, name)
            if fd >= 0:
                setattr(self, name, -1)
                os.close(fd)


def end_process() -> None:
    """Ends this process at once: no cleanup, no flush."""
    os._exit(LIFELINE_EXIT_STATUS)


def end_process_group() -> None:
    """Ends this process at once, and with it what it has started, when it leads a process group.

    For processes that run user code: what a model starts knows nothing of the lifeline.
    """
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    end_process()


def watch_lifeline(fd: int, on_end: Callable[[], None] = end_process) -> None:
    """Calls `on_end` in a daemon thread when the owner of the lifeline is gone.

    Keep `fd` open, and pass it on to children that are to end too.

    Raises:
        ValueError: `fd` is not the read end of a pipe.
    """
    try:
        mode = os.fstat(fd).st_mode
    except OSError as exc:
        raise ValueError(f"--lifeline-fd: {fd} is not an open file descriptor") from exc
    if not stat.S_ISFIFO(mode):
        raise ValueError(f"--lifeline-fd: {fd} is not a pipe")
    # Inherited because pass_fds made it so; what the user's code starts must not inherit it in turn.
    os.set_inheritable(fd, False)
    threading.Thread(target=_wait, args=(fd, on_end), name="lifeline", daemon=True).start()


def _wait(fd: int, on_end: Callable[[], None]) -> None:
    try:
        while os.read(fd, 512):
            pass
    except OSError:
        # The descriptor was closed under us: whether the owner lives can no longer be known, so act as if it were gone.
        pass
    on_end()
