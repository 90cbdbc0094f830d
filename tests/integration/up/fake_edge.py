"""Stands in for penstock_edge: listens, and writes its addresses to `edge.json` beside the controller's socket.

With a file `hold` in that folder it never finishes draining.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sys
import threading
from pathlib import Path

from penstock.lifeline import watch_lifeline
from penstock.state_dir import write_atomically


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--listen", required=True)
    parser.add_argument("--grpc-listen", required=True)
    parser.add_argument("--lifeline-fd", type=int, required=True)
    arguments = parser.parse_args()
    folder: Path = arguments.state_dir
    watch_lifeline(arguments.lifeline_fd)
    host, _, port = arguments.listen.rpartition(":")
    listener = socket.create_server((host, int(port)))
    grpc_address, grpc_listener = "", None
    if arguments.grpc_listen != "off":
        host, _, port = arguments.grpc_listen.rpartition(":")
        grpc_listener = socket.create_server((host, int(port)))
        grpc_address = f"{host}:{grpc_listener.getsockname()[1]}"
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    content = {"pid": os.getpid(), "http": f"{host}:{listener.getsockname()[1]}", "grpc": grpc_address}
    write_atomically(folder / "edge.json", json.dumps(content))
    ended.wait()
    if (folder / "hold").exists():
        (folder / "draining").touch()
        threading.Event().wait()
    (folder / "edge-ended").touch()
    return 0


if __name__ == "__main__":
    sys.exit(main())
