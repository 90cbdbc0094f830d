"""The code of the documentation that users come from (seeds 002 and 000) runs as it stands there.

Each example is the text of the seed. Where it leaves something out ("..."), the gap is filled by `filled`, and nothing
else is changed; an example that only shows the form of a class is executed as a definition.
"""

from __future__ import annotations

import asyncio
import json
import runpy
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from penstock import chains
from penstock.chains import alias

pytestmark = pytest.mark.usefixtures("fresh_registry", "clean_imports")

Run = Callable[..., dict[str, Any]]
"""Runs text as a file of the user; returns its names."""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    alias.install()

    def run_file(source: str, file: str = "chain.py", name: str = "user_chain") -> dict[str, Any]:
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
        return runpy.run_path(str(path), run_name=name)

    return run_file


def filled(example: str, *gaps: tuple[str, str]) -> str:
    """Returns the example with its gaps filled: each pair is what stands there, once, and what comes in its place."""
    for gap, content in gaps:
        assert example.count(gap) == 1, f"{gap!r} must be in the example once"
        example = example.replace(gap, content)
    return example


class JsonServer(ThreadingHTTPServer):
    """Answers each POST with `answer`; keeps what was asked."""

    daemon_threads = True
    answer: Any = None

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _JsonHandler)
        self.requests: list[tuple[str, dict[str, str], Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/production/predict"


class _JsonHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: JsonServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append((self.path, headers, json.loads(body)))
        answer = self.server.answer
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[JsonServer]:
    with JsonServer() as started:
        thread = threading.Thread(target=started.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield started
        finally:
            started.shutdown()
            thread.join()


# mark_entrypoint

BARE_ENTRYPOINT = """
import truss_chains as chains

@chains.mark_entrypoint
class MyChainlet(ChainletBase):
    ...
"""

NAMED_ENTRYPOINT = """
# OR with custom Chain name.
@chains.mark_entrypoint("My Chain Name")
class MyChainlet(ChainletBase):
    ...
"""


@pytest.mark.parametrize(
    ("example", "chain_name"),
    [
        pytest.param(BARE_ENTRYPOINT, None, id="bare"),
        pytest.param("import truss_chains as chains\n" + NAMED_ENTRYPOINT, "My Chain Name", id="named"),
    ],
)
def test_mark_entrypoint(run: Run, example: str, chain_name: str | None) -> None:
    # The example uses a bare ChainletBase beside `chains`.
    chainlet = run("from truss_chains import ChainletBase\n" + example)["MyChainlet"]
    assert issubclass(chainlet, chains.ChainletBase)
    assert (chainlet.meta_data.is_entrypoint, chainlet.meta_data.chain_name) == (True, chain_name)


# RemoteConfig and Assets

REMOTE_CONFIG = """
import truss_chains as chains


class MyChainlet(chains.ChainletBase):
    remote_config = chains.RemoteConfig(
        docker_image=chains.DockerImage(
            pip_requirements=["torch==2.0.1", ...]
        ),
        compute=chains.Compute(cpu_count=2, gpu="A10G", ...),
        assets=chains.Assets(secret_keys=["hf_access_token"], ...),
    )
"""


def test_remote_config(run: Run) -> None:
    source = filled(
        REMOTE_CONFIG,
        ('"torch==2.0.1", ...', '"torch==2.0.1", "numpy"'),
        ('gpu="A10G", ...', 'gpu="A10G", memory="4Gi"'),
        ('["hf_access_token"], ...', '["hf_access_token"]'),
    )
    config = run(source)["MyChainlet"].remote_config
    assert isinstance(config, chains.RemoteConfig)
    assert config.docker_image.pip_requirements == ["torch==2.0.1", "numpy"]
    spec = config.get_compute_spec()
    assert (spec.cpu_count, str(spec.accelerator)) == (2, "A10G")


CACHED_ASSETS = """
import truss_chains as chains
from truss.base import truss_config

mistral_cache = truss_config.ModelRepo(
    repo_id="mistralai/Mistral-7B-Instruct-v0.2",
    allow_patterns=["*.json", "*.safetensors", ".model"]
)
chains.Assets(cached=[mistral_cache], ...)
"""


def test_cached_assets(run: Run) -> None:
    source = filled(CACHED_ASSETS, ("chains.Assets(", "assets = chains.Assets("), (", ...)", ")"))
    names = run(source)
    assert isinstance(names["assets"], chains.Assets)
    assert names["mistral_cache"].repo_id == "mistralai/Mistral-7B-Instruct-v0.2"


# make_abs_path_here

PATHS = """
shared = make_abs_path_here("../common_requirements.text")
specific = make_abs_path_here("chainlet_requirements.text")
"""

PATH_PASSED_ON = """
def foo(path: AbsPath):
    abs_path = path.abs_path


foo(make_abs_path_here("./somewhere"))
"""

PATH_MADE_ELSEWHERE = """
def foo(path: str):
    dangerous_value = make_abs_path_here(path).abs_path


foo("./somewhere")
"""


def test_make_abs_path_here(run: Run, tmp_path: Path) -> None:
    for file in ("common_requirements.text", "sub_package/chainlet_requirements.text"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text("numpy\n")
    names = run("from truss_chains import make_abs_path_here\n" + PATHS, file="sub_package/chainlet.py")
    assert names["shared"].abs_path == str(tmp_path / "common_requirements.text")
    assert names["specific"].abs_path == str(tmp_path / "sub_package" / "chainlet_requirements.text")


def test_make_abs_path_here_in_functions(run: Run, tmp_path: Path) -> None:
    (tmp_path / "somewhere").write_text("")
    prelude = "from truss_chains import make_abs_path_here\nfrom truss_chains.public_types import AbsPath\n"
    run(prelude + PATH_PASSED_ON)
    run(prelude + PATH_MADE_ELSEWHERE)  # the file with the function and the one with the call are the same here


# run_local

RUN_LOCAL = """
import os
import truss_chains as chains


class HelloWorld(chains.ChainletBase):
    ...


if __name__ == "__main__":
    with chains.run_local(
        secrets={"some_token": os.environ["SOME_TOKEN"]},
        chainlet_to_service={
            "SomeChainlet": chains.DeployedServiceDescriptor(
                name="SomeChainlet",
                display_name="SomeChainlet",
                predict_url="https://...",
                options=chains.RPCOptions(),
            )
        },
    ):
        hello_world_chain = HelloWorld()
        result = hello_world_chain.run_remote(max_value=5)

    print(result)
"""

HELLO_WORLD = """
    def __init__(self, context: chains.DeploymentContext = chains.depends_context()) -> None:
        self._greeting = context.secrets["some_token"]
        self._url = context.get_service_descriptor("SomeChainlet").predict_url

    def run_remote(self, max_value: int) -> str:
        return f"{self._greeting} {max_value} {self._url}"
"""


def test_run_local(run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SOME_TOKEN", "hello")
    source = filled(RUN_LOCAL, ("    ...\n", HELLO_WORLD))
    with pytest.warns(DeprecationWarning, match="run_remote"):  # the example has no `async`
        run(source, name="__main__")
    assert capsys.readouterr().out == "hello 5 https://...\n"


# StubBase

STUB = """
import pydantic
import truss_chains as chains


class WhisperOutput(pydantic.BaseModel):
    ...


class DeployedWhisper(chains.StubBase):

    # Input JSON, output JSON.
    async def run_remote(self, audio_b64: str) -> Any:
        return await self.predict_async(
            inputs={"audio": audio_b64})
        # resp == {"text": ..., "language": ...}

    # OR Input JSON, output pydantic model.
    async def run_remote(self, audio_b64: str) -> WhisperOutput:
        return await self.predict_async(
            inputs={"audio": audio_b64}, output_model=WhisperOutput)

    # OR Input and output are pydantic models.
    async def run_remote(self, data: WhisperInput) -> WhisperOutput:
        return await self.predict_async(data, output_model=WhisperOutput)


class MyChainlet(chains.ChainletBase):

    def __init__(self, ..., context=chains.depends_context()):
        ...
        self._whisper = DeployedWhisper.from_url(
            WHISPER_URL,
            context,
            options=chains.RPCOptions(retries=3),
        )

    async def run_remote(self, ...):
       await self._whisper.run_remote(...)
"""
STUB_METHODS = {
    "json": STUB[STUB.index("    # Input JSON, output JSON.") : STUB.index("    # OR Input JSON")],
    "model_out": STUB[STUB.index("    # OR Input JSON") : STUB.index("    # OR Input and")],
    "models": STUB[STUB.index("    # OR Input and") : STUB.index("class MyChainlet")].rstrip() + "\n",
}


@pytest.mark.parametrize(
    ("alternative", "argument", "sent", "received"),
    [
        pytest.param("json", "'YQ=='", {"audio": "YQ=="}, {"text": "hi", "language": "en"}, id="json"),
        pytest.param("model_out", "'YQ=='", {"audio": "YQ=="}, "WhisperOutput", id="output_model"),
        pytest.param("models", "WhisperInput(audio='YQ==')", {"audio": "YQ=="}, "WhisperOutput", id="two_models"),
    ],
)
def test_stub_base(
    run: Run, server: JsonServer, alternative: str, argument: str, sent: object, received: object
) -> None:
    others = [(text, "") for name, text in STUB_METHODS.items() if name != alternative]
    call = f"""answers.append(await self._whisper.run_remote({argument}))
       return name"""
    source = filled(
        STUB,
        *others,
        ("(pydantic.BaseModel):\n    ...", "(pydantic.BaseModel):\n    text: str\n    language: str"),
        ("self, ..., context", "self, context"),
        ("):\n        ...\n        self._whisper", "):\n        self._whisper"),
        ("async def run_remote(self, ...):", "async def run_remote(self, name: str) -> str:"),
        ("await self._whisper.run_remote(...)", call),
    )
    prelude = (
        "from typing import Any\nimport pydantic\nanswers = []\n"
        f"class WhisperInput(pydantic.BaseModel):\n    audio: str\nWHISPER_URL = {server.url!r}\n"
    )
    server.answer = {"text": "hi", "language": "en"}
    names = run(prelude + source)
    with chains.run_local(secrets={"baseten_chain_api_key": "key"}):
        chainlet = names["MyChainlet"]()
    asyncio.run(chainlet.run_remote("x"))
    ((path, headers, body),) = server.requests
    assert (path, headers["authorization"], body) == ("/production/predict", "Api-Key key", sent)
    (answer,) = names["answers"]
    if received == "WhisperOutput":
        assert isinstance(answer, names["WhisperOutput"]) and answer.language == "en"
    else:
        assert answer == received


def test_invocation_methods(server: JsonServer) -> None:
    import pydantic

    class Values(pydantic.BaseModel):
        numbers: list[int]

    server.answer = {"numbers": [1, 2]}
    context = chains.DeploymentContext(chainlet_to_service={}, secrets={"baseten_chain_api_key": "key"})
    stub = chains.StubBase.from_url(server.url, context)
    values = Values(numbers=[3])

    async def asynchronous() -> None:
        assert (await stub.predict_async(values, Values)).numbers == [1, 2]
        assert (await stub.predict_async({"numbers": [3]}, output_model=Values)).numbers == [1, 2]
        assert await stub.predict_async({"numbers": [3]}) == {"numbers": [1, 2]}
        for inputs in (values, {"numbers": [3]}):
            assert b"".join([part async for part in stub.predict_async_stream(inputs)]) == b'{"numbers": [1, 2]}'

    asyncio.run(asynchronous())
    assert stub.predict_sync(values, Values).numbers == [1, 2]
    assert stub.predict_sync({"numbers": [3]}, Values).numbers == [1, 2]
    assert stub.predict_sync({"numbers": [3]}) == {"numbers": [1, 2]}
    assert [body for _, _, body in server.requests] == [{"numbers": [3]}] * 8


# Names that the text of the seeds has without an example

NAMES = """
import truss_chains
import truss_chains.deployment.deployment_client

truss_chains.ChainletBase, truss_chains.depends, truss_chains.depends_context, truss_chains.DeploymentContext
truss_chains.DeploymentContext.get_baseten_api_key, truss_chains.DeploymentContext.get_service_descriptor
truss_chains.definitions.Environment, truss_chains.ChainletOptions, truss_chains.RPCOptions
truss_chains.mark_entrypoint, truss_chains.RemoteConfig, truss_chains.DockerImage, truss_chains.BasetenImage
truss_chains.CustomImage, truss_chains.Compute, truss_chains.Assets, truss_chains.push
service = truss_chains.deployment.deployment_client.ChainService
service.get_info, service.name, service.run_remote, service.run_remote_url, service.status_page_url
truss_chains.make_abs_path_here, truss_chains.run_local, truss_chains.DeployedServiceDescriptor
truss_chains.StubBase, truss_chains.StubBase.from_url, truss_chains.RemoteErrorDetail.format
"""


def test_names(run: Run) -> None:
    assert run("import truss_chains.definitions\n" + NAMES)["truss_chains"] is chains


def test_images() -> None:
    images = {image.name: image.value for image in chains.BasetenImage}
    assert (images["PY39"], images["PY310"], images["PY311"]) == ("py39", "py310", "py311")


# Seed 000: `run_remote` takes a WebSocketProtocol, receives and sends through it, and returns nothing

WEBSOCKET = """
import truss_chains as chains


@chains.mark_entrypoint
class HelloSocket(chains.ChainletBase):
    remote_config = chains.RemoteConfig(compute=chains.Compute(predict_concurrency=32))

    async def run_remote(self, websocket: chains.WebSocketProtocol) -> None:
        while True:
            text = await websocket.receive_text()
            if text == "bye":
                break
            await websocket.send_text(f"hello {text}")
            await websocket.send_bytes(text.encode())
            await websocket.send_json({"text": text})
"""


def test_websocket_chain(run: Run) -> None:
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute
    from starlette.websockets import WebSocket

    from penstock.chains.websocket import ChainWebSocket

    names = run(WEBSOCKET)
    with chains.run_local():
        chainlet = names["HelloSocket"]()

    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        await chainlet.run_remote(ChainWebSocket(websocket))
        await websocket.close()

    sent = asyncio.run(_talk(Starlette(routes=[WebSocketRoute("/", endpoint)]), ["you", "bye"]))
    assert sent == [
        {"type": "websocket.accept", "subprotocol": None, "headers": []},
        {"type": "websocket.send", "text": "hello you"},
        {"type": "websocket.send", "bytes": b"you"},
        {"type": "websocket.send", "text": '{"text":"you"}'},
        {"type": "websocket.close", "code": 1000, "reason": ""},
    ]


async def _talk(app: Any, texts: list[str]) -> list[dict[str, Any]]:
    """Sends texts to an ASGI application's WebSocket at `/`; returns what it sends."""
    waiting = [{"type": "websocket.connect"}, *({"type": "websocket.receive", "text": text} for text in texts)]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app({"type": "websocket", "path": "/", "query_string": b"", "headers": []}, receive, send)
    return sent
