"""The baseline: a Truss model behind FastAPI on uvicorn, no hop: what a Truss server is.

It serves `websocket` and `predict` of one model. Of what a Truss server does beside that (health checks before a call,
looking whether the client is still there, spans, a queue between generator and client) it does nothing, so it is
faster than one.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import inspect
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import uvicorn
import yaml
from anyio import to_thread
from fastapi import FastAPI, HTTPException, Request, Response, WebSocket
from fastapi.responses import StreamingResponse


def load_model(truss: Path) -> Any:
    spec = importlib.util.spec_from_file_location("model.model", truss / "model" / "model.py")
    if spec is None or spec.loader is None:
        raise SystemExit(f"{truss}: no model/model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.Model()
    if hasattr(model, "load"):
        model.load()
    return model


def build_app(model: Any, predict_concurrency: int) -> FastAPI:
    app = FastAPI()
    permits = asyncio.Semaphore(predict_concurrency)

    @app.get("/healthz")
    async def healthz() -> dict[str, bool]:
        return {"ready": True}

    @app.websocket("/v1/websocket")
    async def stream(websocket: WebSocket) -> None:
        await websocket.accept()
        await model.websocket(websocket)

    @app.post("/v1/models/{name}:predict", response_model=None)
    async def predict(name: str, request: Request) -> Response:
        if name != "model":
            raise HTTPException(404, f"Model with name {name} does not exist.")
        inputs = json.loads(await request.body())
        if inspect.isasyncgenfunction(model.predict):
            return StreamingResponse(_with_permit(model.predict(inputs)), media_type="application/octet-stream")
        async with permits:
            if inspect.iscoroutinefunction(model.predict):
                result = await model.predict(inputs)
            else:
                result = await to_thread.run_sync(model.predict, inputs)
        return Response(json.dumps(result), media_type="application/json")

    async def _with_permit(items: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async with permits:
            async for item in items:
                yield item

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("truss", type=Path)
    parser.add_argument("--port-file", type=Path, required=True, help="the port that was picked is written here")
    arguments = parser.parse_args()
    config = yaml.safe_load((arguments.truss / "config.yaml").read_text())
    permits = (config.get("runtime") or {}).get("predict_concurrency", 1)
    app = build_app(load_model(arguments.truss), permits)
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    listener.listen(2048)
    arguments.port_file.write_text(str(listener.getsockname()[1]))
    # No access log: Penstock logs no line per request that went well either.
    options = uvicorn.Config(
        app, ws="websockets-sansio", loop="uvloop", http="httptools", log_level="warning", access_log=False
    )
    uvicorn.Server(options).run(sockets=[listener])


if __name__ == "__main__":
    main()
