"""A voice agent: one WebSocket, behind it three chainlets that pass items on while they still come in.

client ──audio──▶ VoiceAgent ──frames──▶ SpeechToText ──what was heard──▶ WordStream ──words──▶ TextToSpeech ──frames──▶

The models are stand-ins (loudness, a canned reply, tones); the streams between them are real, and so is what makes a
voice agent feel alive: the answer starts before it is complete, and stops as soon as the caller speaks again.
"""

import asyncio
import json
import math
from array import array
from collections.abc import AsyncIterator

import fastapi
import pydantic
import truss_chains as chains

SAMPLE_RATE = 16_000
FRAME_MS = 20
FRAME_BYTES = SAMPLE_RATE * FRAME_MS // 1000 * 2
LOUD = 500
"""Root mean square of 16-bit samples from which a frame counts as speech."""
HANGOVER_FRAMES = 15
"""Quiet frames that end an utterance."""
ONSET_FRAMES = 3
"""Loud frames that begin one."""
WORD_S = 0.1
"""Time for a word of the answer, as language models have it."""

SMALL = chains.RemoteConfig(compute=chains.Compute(cpu_count=1, memory="512Mi", predict_concurrency=32))


class Frame(pydantic.BaseModel):
    """20 ms of 16 kHz mono 16-bit PCM."""

    pcm: bytes


class Heard(pydantic.BaseModel):
    """Somebody has begun to speak, or has ended: then `text` says what was said."""

    at_ms: int
    text: str | None = None


class SpeechToText(chains.ChainletBase):
    """Finds utterances by their loudness. What it understands is how long they were."""

    remote_config = SMALL

    async def run_remote(self, audio: AsyncIterator[Frame]) -> AsyncIterator[Heard]:
        now_ms = began_ms = loud = quiet = 0
        is_speaking = False
        async for frame in audio:
            now_ms += FRAME_MS
            is_loud = _loudness(frame.pcm) >= LOUD
            loud, quiet = (loud + 1, 0) if is_loud else (0, quiet + 1)
            if not is_speaking and loud >= ONSET_FRAMES:
                is_speaking, began_ms = True, now_ms - loud * FRAME_MS
                yield Heard(at_ms=began_ms)
            elif is_speaking and quiet >= HANGOVER_FRAMES:
                is_speaking = False
                ended_ms = now_ms - quiet * FRAME_MS
                yield Heard(at_ms=ended_ms, text=f"{(ended_ms - began_ms) / 1000:.1f} seconds of speech")
        if is_speaking:
            yield Heard(at_ms=now_ms, text=f"{(now_ms - began_ms) / 1000:.1f} seconds of speech")


class WordStream(chains.ChainletBase):
    """Answers with one word at a time, as a language model would."""

    remote_config = SMALL

    async def run_remote(self, prompt: str) -> AsyncIterator[str]:
        for word in f"I have heard {prompt}. Please go on.".split():
            await asyncio.sleep(WORD_S)
            yield word


class TextToSpeech(chains.ChainletBase):
    """Says each word as soon as it comes: a tone of its own, as long as the word."""

    remote_config = SMALL

    async def run_remote(self, words: AsyncIterator[str]) -> AsyncIterator[Frame]:
        async for word in words:
            pitch = 200 + 20 * (sum(word.encode()) % 20)
            for number in range(2 + len(word)):
                yield Frame(pcm=_tone(pitch, number))


@chains.mark_entrypoint("voice-agent")
class VoiceAgent(chains.ChainletBase):
    """Binary messages of 20 ms in; events as text and the spoken answer as binary messages out."""

    remote_config = SMALL

    def __init__(
        self,
        ears: SpeechToText = chains.depends(SpeechToText, use_binary=True),
        mind: WordStream = chains.depends(WordStream),
        mouth: TextToSpeech = chains.depends(TextToSpeech, use_binary=True),
    ) -> None:
        self._ears = ears
        self._mind = mind
        self._mouth = mouth

    async def run_remote(self, websocket: chains.WebSocketProtocol) -> None:
        answer: asyncio.Task[None] | None = None
        try:
            async for heard in self._ears.run_remote(_microphone(websocket)):
                if heard.text is None:
                    await _tell(websocket, "speech_start", at_ms=heard.at_ms)
                    if answer is not None and not answer.done():
                        # The caller speaks again: nobody listens to the rest of the answer.
                        answer.cancel()
                        await _tell(websocket, "interrupted")
                    continue
                await _tell(websocket, "heard", at_ms=heard.at_ms, text=heard.text)
                if answer is not None:
                    await asyncio.gather(answer, return_exceptions=True)
                answer = asyncio.create_task(self._answer(websocket, heard.text))
            if answer is not None:
                await answer
            await _tell(websocket, "end")
        except fastapi.WebSocketDisconnect:
            pass  # the caller has hung up
        finally:
            if answer is not None:
                answer.cancel()

    async def _answer(self, websocket: chains.WebSocketProtocol, prompt: str) -> None:
        async def words() -> AsyncIterator[str]:
            async for word in self._mind.run_remote(prompt):
                await _tell(websocket, "word", text=word)
                yield word

        async for frame in self._mouth.run_remote(words()):
            await websocket.send_bytes(frame.pcm)
        await _tell(websocket, "answered")


async def _microphone(websocket: chains.WebSocketProtocol) -> AsyncIterator[Frame]:
    """The caller's frames, until {"type": "end"}."""
    while True:
        message = await websocket.receive()
        if isinstance(message, str):
            return
        if len(message) == FRAME_BYTES:
            yield Frame(pcm=message)
        else:
            await _tell(websocket, "error", message=f"expected {FRAME_BYTES} bytes (20 ms), got {len(message)}")


async def _tell(websocket: chains.WebSocketProtocol, kind: str, **details: object) -> None:
    await websocket.send_text(json.dumps({"type": kind, **details}))


def _loudness(pcm: bytes) -> float:
    samples = array("h", pcm)
    return math.sqrt(sum(sample * sample for sample in samples) / max(1, len(samples)))


def _tone(pitch: int, frame: int) -> bytes:
    first = frame * FRAME_BYTES // 2
    step = 2 * math.pi * pitch / SAMPLE_RATE
    return array("h", (int(6000 * math.sin(step * (first + n))) for n in range(FRAME_BYTES // 2))).tobytes()
