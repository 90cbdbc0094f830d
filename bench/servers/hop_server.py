"""The baseline of a hop: the same two functions behind FastAPI on uvicorn, called with httpx from another such server.

Both are served as their users would write them: pydantic models in and out as JSON. `raw` is what remains when one
writes the arrays' bytes by hand instead.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import uvicorn
from fastapi import FastAPI, Request, Response

MODEL = Path(__file__).resolve().parent.parent / "models" / "chain_hop"
sys.path.insert(0, str(MODEL))

from penstock.chains import alias  # noqa: E402  # after the path, as all that follows

alias.install()

import hop_load  # noqa: E402  # stands beside the chain
import hop_types  # noqa: E402  # the same


def callee() -> FastAPI:
    app = FastAPI()

    @app.get("/healthz")
    async def healthz() -> bool:
        return True

    @app.post("/note")
    async def note(note: hop_types.Note) -> hop_types.Note:
        return note

    @app.post("/frame")
    async def frame(frame: hop_types.Frame) -> hop_types.Frame:
        return frame

    @app.post("/raw")
    async def raw(request: Request) -> Response:
        samples = np.frombuffer(await request.body(), dtype=np.float32)
        return Response(samples.data.cast("B"), media_type="application/octet-stream")

    return app


def caller(url: str) -> FastAPI:
    app = FastAPI()

    @app.get("/healthz")
    async def healthz() -> bool:
        return True

    @app.post("/measure")
    async def measure(kind: str, in_flight: int, seconds: float, warm_s: float, connections: int) -> dict[str, float]:
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        permits = asyncio.Semaphore(connections)
        async with httpx.AsyncClient(base_url=url, limits=limits, timeout=60) as client:
            call = _call(client, kind)

            async def permitted() -> None:
                # In front of httpx: its pool looks at every connection for each one that waits.
                async with permits:
                    await call()

            figures: dict[str, float] = await hop_load.measure(permitted, in_flight, seconds, warm_s)
            return figures

    return app


def _call(client: httpx.AsyncClient, kind: str) -> Any:
    headers = {"content-type": "application/json"}
    if kind == "note":
        note = hop_types.make_note()

        async def call() -> None:
            response = await client.post("/note", content=note.model_dump_json(), headers=headers)
            assert len(hop_types.Note.model_validate_json(response.content).text) == len(note.text)
    elif kind == "frame":
        frame = hop_types.make_frame()

        async def call() -> None:
            response = await client.post("/frame", content=frame.model_dump_json(), headers=headers)
            answer = hop_types.Frame.model_validate_json(response.content)
            assert answer.samples.array.nbytes == frame.samples.array.nbytes
    else:
        samples = hop_types.make_frame().samples.array

        async def call() -> None:
            response = await client.post("/raw", content=samples.tobytes())
            assert np.frombuffer(response.content, dtype=np.float32).nbytes == samples.nbytes

    return call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--callee", metavar="URL", help="serve the caller, which calls this one; else the callee")
    parser.add_argument("--port-file", type=Path, required=True)
    options = parser.parse_args()
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    app = caller(options.callee) if options.callee else callee()
    config = uvicorn.Config(app, loop="uvloop", http="httptools", log_level="warning", access_log=False)
    options.port_file.write_text(str(listener.getsockname()[1]))
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
