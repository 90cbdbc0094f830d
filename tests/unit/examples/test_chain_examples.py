"""The chains of examples/ in one process, as `penstock chains run` runs them."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import fastapi
import pytest

from penstock import chains
from penstock.chains import alias, registry

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


@pytest.fixture
def load() -> Iterator[Any]:
    alias.install()
    before = registry.use(registry.ChainletRegistry())
    names: list[str] = []

    def load_file(path: Path) -> ModuleType:
        name = f"example_{path.stem}"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        names.append(name)
        spec.loader.exec_module(module)
        return module

    yield load_file
    registry.use(before)
    for name in names:
        del sys.modules[name]


def test_hello_chain_says_it_as_often_as_the_other_chainlet_tells(load: Any) -> None:
    hello = load(EXAMPLES / "hello_chain" / "hello.py")

    class Always:
        async def run_remote(self, max_value: int) -> int:
            return max_value

    with chains.run_local():
        said = asyncio.run(hello.HelloWorld(rand_int=Always()).run_remote(3, "Hi "))
        drawn = asyncio.run(hello.HelloWorld().run_remote(4))

    assert said == "Hi Hi Hi "
    assert drawn in {"Hello World " * count for count in range(1, 5)}


def test_rag_chain_finds_the_passages_of_both_shards(load: Any) -> None:
    rag = load(EXAMPLES / "rag_chain" / "rag.py")

    async def ask(chain: Any, question: str) -> str:
        return "".join([part async for part in chain.run_remote(question)])

    with chains.run_local():
        answer = asyncio.run(ask(rag.Rag(), "Which turbine is for low heads?"))

    assert answer.startswith("You asked: Which turbine")
    # One of them lies in the even shard, the other one in the odd shard.
    assert "Kaplan" in answer and "Pelton" in answer
    assert "salmon" not in answer


class Caller:
    """A WebSocket's client: speaks what was prepared, and hears."""

    def __init__(self, messages: list[bytes | str], hang_up: bool = False) -> None:
        self._messages = messages
        self._hang_up = hang_up
        self.events: list[dict[str, Any]] = []
        self.sound = bytearray()

    async def receive(self) -> str | bytes:
        # Time for the answers, which come 20 ms apart, is not what this is about: but the loop must turn.
        for _ in range(5):
            await asyncio.sleep(0)
        if not self._messages:
            if self._hang_up:
                raise fastapi.WebSocketDisconnect(1001)
            return json.dumps({"type": "end"})
        return self._messages.pop(0)

    async def send_text(self, text: str) -> None:
        self.events.append(json.loads(text))

    async def send_bytes(self, data: bytes) -> None:
        self.sound += data

    def kinds(self) -> list[str]:
        return [event["type"] for event in self.events]


def converse(load: Any, caller: Caller) -> None:
    agent = load(EXAMPLES / "voice_agent" / "voice_agent.py")
    agent.WORD_S = 0.01
    with chains.run_local():
        asyncio.run(agent.VoiceAgent().run_remote(caller))


def recording(load: Any) -> list[bytes | str]:
    talk = load(EXAMPLES / "voice_agent" / "talk.py")
    return list(talk.read_frames(talk.RECORDING))


def test_voice_agent_answers_what_it_has_heard_and_is_interrupted_by_the_next_sentence(load: Any) -> None:
    caller = Caller(recording(load))

    converse(load, caller)

    kinds = [kind for kind in caller.kinds() if kind != "word"]
    assert kinds == ["speech_start", "heard", "speech_start", "interrupted", "heard", "answered", "end"]
    heard = [event["text"] for event in caller.events if event["type"] == "heard"]
    assert all(text.endswith("seconds of speech") for text in heard)
    words = " ".join(event["text"] for event in caller.events if event["type"] == "word")
    assert words.endswith(f"I have heard {heard[-1]}. Please go on.")
    assert len(caller.sound) % 640 == 0 and len(caller.sound) > 50 * 640


def test_voice_agent_takes_frames_of_one_length_only(load: Any) -> None:
    caller = Caller([b"\0" * 100])

    converse(load, caller)

    assert caller.kinds() == ["error", "end"]


def test_voice_agent_ends_quietly_when_the_caller_hangs_up(load: Any) -> None:
    caller = Caller(recording(load)[:60], hang_up=True)

    converse(load, caller)

    assert "end" not in caller.kinds()


def test_words_are_spoken_as_they_come(load: Any) -> None:
    agent = load(EXAMPLES / "voice_agent" / "voice_agent.py")

    async def first_sound(mouth: Any) -> int:
        taken = 0

        async def words() -> AsyncIterator[str]:
            nonlocal taken
            for word in ["a", "b", "c"]:
                taken += 1
                yield word

        async for _ in mouth.run_remote(words()):
            break
        return taken

    with chains.run_local():
        assert asyncio.run(first_sound(agent.TextToSpeech())) == 1
