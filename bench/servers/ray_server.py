"""Ray Serve with the same Truss model behind the same FastAPI route. Ray's settings come from its environment."""

# ruff: noqa: I002 - Serve pickles the class below by value. With annotations as text FastAPI could not resolve the name
# WebSocket in the replica, would take it for a query parameter, and would refuse every client with 403.

import argparse
import importlib.util
import signal
import threading
from pathlib import Path
from typing import Any

import ray
from fastapi import FastAPI, WebSocket
from ray import serve

app = FastAPI()


@serve.deployment(num_replicas=1, max_ongoing_requests=100_000, ray_actor_options={"num_cpus": 0})
@serve.ingress(app)
class Echo:
    def __init__(self, truss: str) -> None:
        spec = importlib.util.spec_from_file_location("model.model", f"{truss}/model/model.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self.model = module.Model()
        if hasattr(self.model, "load"):
            self.model.load()

    @app.get("/healthz")
    async def healthz(self) -> dict[str, bool]:
        return {"ready": True}

    @app.websocket("/v1/websocket")
    async def stream(self, websocket: WebSocket) -> None:
        await websocket.accept()
        await self.model.websocket(websocket)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("truss", type=Path)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ready-file", type=Path, required=True)
    arguments = parser.parse_args()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    ray.init(include_dashboard=False, logging_level="warning", log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": arguments.port})
    deployment: Any = Echo
    serve.run(deployment.bind(str(arguments.truss.resolve())), name="echo", route_prefix="/")
    arguments.ready_file.write_text(str(arguments.port))
    ended.wait()
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()
