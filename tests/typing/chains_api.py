"""What a type checker must say of chains. Never run: `make check` reads it with mypy, a test of chains with pyright.

A line with `type: ignore` must be an error; both report an ignore that is not needed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, assert_type

import pydantic
from fastapi import WebSocket

from penstock import chains
from penstock.chains import streaming
from penstock.chains.pydantic_numpy import NumpyArrayField
from penstock.chains.truss_chainlet import TrussHandle
from penstock.chains.websocket import ChainWebSocket

# A chain


class Question(pydantic.BaseModel):
    text: str


class Answer(pydantic.BaseModel):
    text: str
    vector: NumpyArrayField


class RandInt(chains.ChainletBase):
    remote_config = chains.RemoteConfig(
        docker_image=chains.DockerImage(
            base_image=chains.BasetenImage.PY311,
            pip_requirements=["numpy"],
            apt_requirements=["ffmpeg"],
            pip_requirements_file=chains.make_abs_path_here("requirements.txt"),
        ),
        compute=chains.Compute(cpu_count=2, memory="4Gi", gpu="A10G", predict_concurrency="cpu_count"),
        assets=chains.Assets(secret_keys=["token"]),
        name="rand-int",
        options=chains.ChainletOptions(env_variables={"A": "b"}, enable_b10_tracing=True),
    )

    async def run_remote(self, max_value: int) -> int:
        return max_value


class Think(chains.ChainletBase):
    async def run_remote(self, question: Question, tokens: AsyncIterator[bytes]) -> AsyncIterator[str]:
        async for token in tokens:
            yield question.text + token.decode()


class Wrapped(chains.TrussChainlet):
    truss_dir = "./wrapped"


class FakeRandInt:
    async def run_remote(self, max_value: int) -> int:
        return 1


@chains.mark_entrypoint
class HelloWorld(chains.ChainletBase):
    def __init__(
        self,
        rand_int: RandInt = chains.depends(RandInt, retries=3, timeout_sec=1.5, use_binary=True, concurrency_limit=10),
        think: Think = chains.depends(Think),
        wrapped: TrussHandle = chains.depends(Wrapped),
        context: chains.DeploymentContext = chains.depends_context(),
    ) -> None:
        self._rand_int = rand_int
        self._think = think
        self._url = wrapped.ws_call_args(sync_path="v1").url
        self._key = context.secrets["key"]
        assert_type(context.get_baseten_api_key(), str)
        assert_type(context.get_service_descriptor("rand-int"), chains.DeployedServiceDescriptor)

    async def run_remote(self, max_value: int, tokens: AsyncIterator[bytes]) -> str:
        number = await self._rand_int.run_remote(max_value)
        assert_type(number, int)
        words = [word async for word in self._think.run_remote(Question(text="a"), tokens)]
        assert_type(words, list[str])
        return "Hello World! " * number


@chains.mark_entrypoint("My Chain Name")
class Talk(chains.ChainletBase):
    async def run_remote(self, websocket: chains.WebSocketProtocol) -> None:
        assert_type(await websocket.receive(), str | bytes)
        assert_type(await websocket.receive_bytes(), bytes)
        assert_type(await websocket.receive_json(), Any)
        async for text in websocket.iter_text():
            assert_type(text, str)
        async for text in await websocket.iter_text():
            assert_type(text, str)
        async for data in await websocket.iter_bytes():
            assert_type(data, bytes)
        if websocket.is_connected():
            await websocket.send_text(websocket.headers["x-a"])
        if await websocket.is_connected():
            await websocket.send_bytes(b"")
        await websocket.send_json({"a": 1})
        await websocket.close(code=1001, reason="gone")
        await websocket.close()


async def local(websocket: WebSocket, tokens: AsyncIterator[bytes]) -> None:
    with chains.run_local(secrets={"a": "b"}, data_dir="data"):
        hello = HelloWorld()
        talk = Talk()
    assert_type(hello, HelloWorld)
    assert_type(await hello.run_remote(max_value=1, tokens=tokens), str)
    await talk.run_remote(ChainWebSocket(websocket))


def pushed() -> None:
    service = chains.push(HelloWorld, "hello")
    assert_type(service.name, str)
    assert_type(service.run_remote_url, str)
    assert_type(service.status_page_url, str)


# Typed streams

HEADED = streaming.stream_types(Answer, header_type=Question)
BARE = streaming.stream_types(Answer)
FULL = streaming.stream_types(Answer, header_type=Question, footer_type=Question)


async def streams(data: AsyncIterator[bytes], answer: Answer, question: Question) -> None:
    reader = streaming.stream_reader(FULL, data)
    assert_type(await reader.read_header(), Question)
    async for item in reader.read_items():
        assert_type(item, Answer)
    assert_type(await reader.read_footer(), Question)
    writer = streaming.stream_writer(HEADED)
    assert_type(writer.yield_header(question), bytes)
    assert_type(writer.yield_item(answer), bytes)


# Mistakes


class Wrong(chains.ChainletBase):
    def __init__(
        self,
        rand_int: Think = chains.depends(RandInt),  # type: ignore[assignment]
        context: int = chains.depends_context(),  # type: ignore[assignment]
        handle: Wrapped = chains.depends(Wrapped),  # type: ignore[assignment]
    ) -> None:
        pass


async def mistakes(rand_int: RandInt, websocket: chains.WebSocketProtocol, answer: Answer) -> None:
    await rand_int.run_remote("1")  # type: ignore[arg-type]
    await rand_int.run_remote()  # type: ignore[call-arg]
    await rand_int.run_remote(maximum=1)  # type: ignore[call-arg]
    rand_int.run_remote(1).upper()  # type: ignore[attr-defined]
    chains.depends(int)  # type: ignore[arg-type]
    chains.depends(RandInt, retry=3)  # type: ignore[call-overload]
    chains.Compute(gpus=1)  # type: ignore[call-arg]
    chains.RPCOptions(retries="3")  # type: ignore[arg-type]
    chains.run_local(secret={})  # type: ignore[call-arg]
    chains.mark_entrypoint(3)  # type: ignore[call-overload]
    await websocket.accept()  # type: ignore[attr-defined]
    await websocket.send_text(b"")  # type: ignore[arg-type]
    streaming.stream_writer(BARE).yield_header(answer)  # type: ignore[attr-defined]
    streaming.stream_writer(HEADED).yield_footer(answer)  # type: ignore[attr-defined]
    streaming.stream_writer(HEADED).yield_header(answer)  # type: ignore[arg-type]
    streaming.stream_types(int)  # type: ignore[type-var]
    TrussHandle("Wrapped").http_call_args(True)  # type: ignore[call-arg]
    _ = chains.Chainlet  # type: ignore[attr-defined]


async def raw(websocket: WebSocket, talk: Talk) -> None:
    # A Starlette WebSocket has no `is_connected`, and its `receive` returns another thing.
    await talk.run_remote(websocket)  # type: ignore[arg-type]
