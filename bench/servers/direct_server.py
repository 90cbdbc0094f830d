"""The baseline: a Truss `websocket` model behind FastAPI on uvicorn, no hop: what a Truss server is."""

from __future__ import annotations

import argparse
import importlib.util
import socket
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, WebSocket


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


def build_app(model: Any) -> FastAPI:
    app = FastAPI()

    @app.get("/healthz")
    async def healthz() -> dict[str, bool]:
        return {"ready": True}

    @app.websocket("/v1/websocket")
    async def stream(websocket: WebSocket) -> None:
        await websocket.accept()
        await model.websocket(websocket)

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("truss", type=Path)
    parser.add_argument("--port-file", type=Path, required=True, help="the port that was picked is written here")
    arguments = parser.parse_args()
    app = build_app(load_model(arguments.truss))
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    listener.listen(2048)
    arguments.port_file.write_text(str(listener.getsockname()[1]))
    config = uvicorn.Config(app, ws="websockets-sansio", loop="uvloop", http="httptools", log_level="warning")
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
