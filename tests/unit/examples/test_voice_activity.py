"""The model code of examples/voice_activity against its WAV file, without a platform."""

from __future__ import annotations

import asyncio
import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "voice_activity"
SILENCE = bytes(640)


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"voice_activity_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MODEL = load(EXAMPLE / "model" / "model.py")
STREAM_WAV = load(EXAMPLE / "stream_wav.py")


class FakeWebSocket:
    """Hands over what was prepared, then says that the client has left."""

    def __init__(self, messages: list[bytes | str]) -> None:
        self._messages = messages
        self.events: list[Any] = []

    async def receive(self) -> dict[str, Any]:
        if not self._messages:
            return {"type": "websocket.disconnect", "code": 1001}
        message = self._messages.pop(0)
        key = "text" if isinstance(message, str) else "bytes"
        return {"type": "websocket.receive", key: message}

    async def send_json(self, event: Any) -> None:
        self.events.append(json.loads(json.dumps(event)))


def events_for(messages: list[bytes | str], config: dict[str, Any] | None = None) -> list[Any]:
    model = MODEL.Model(config=config or {})
    model.load()
    websocket = FakeWebSocket(list(messages))
    asyncio.run(model.websocket(websocket))
    return websocket.events


def two_sentences() -> list[bytes | str]:
    return list(STREAM_WAV.read_frames(EXAMPLE / "two_sentences.wav"))


def test_two_sentences_are_found_where_they_are() -> None:
    events = events_for([*two_sentences(), '{"type": "end"}'])

    assert [event["type"] for event in events] == ["speech_start", "speech_end", "speech_start", "speech_end", "end"]
    assert [event["at_ms"] for event in events[:4]] == pytest.approx([800, 1640, 2320, 3580], abs=100)
    spoken = events[1]["at_ms"] - events[0]["at_ms"] + events[3]["at_ms"] - events[2]["at_ms"]
    assert events[4]["speech_ms"] == spoken


def test_events_come_while_audio_still_flows() -> None:
    first_second_and_a_bit = two_sentences()[:60]

    assert [event["type"] for event in events_for(first_second_and_a_bit)] == ["speech_start"]


def test_end_in_the_middle_of_speech_ends_it() -> None:
    events = events_for([*two_sentences()[:60], '{"type": "end"}'])

    assert [event["type"] for event in events] == ["speech_start", "speech_end", "end"]
    assert events[1]["at_ms"] == events[2]["at_ms"] == 1200


def test_silence_is_no_speech() -> None:
    assert events_for([SILENCE] * 100) == []


def test_one_noisy_frame_is_no_speech() -> None:
    voiced = two_sentences()[50]

    assert events_for([SILENCE] * 20 + [voiced] * 3 + [SILENCE] * 20) == []


def test_a_pause_inside_a_sentence_does_not_split_it() -> None:
    frames = two_sentences()

    events = events_for(frames[:60] + [SILENCE] * 5 + frames[60:100])

    assert [event["type"] for event in events] == ["speech_start", "speech_end"]


@pytest.mark.parametrize("size", [0, 1, 639, 641, 1280])
def test_a_frame_of_another_size_is_an_error_event_and_no_end(size: int) -> None:
    events = events_for([bytes(size), SILENCE, '{"type": "end"}'])

    assert events[0]["code"] == "frame_size" and str(size) in events[0]["message"]
    assert events[1] == {"type": "end", "at_ms": 20, "speech_ms": 0}, "the bad frame counts for nothing"


@pytest.mark.parametrize("text", ["", "hello", "[]", "null", '{"type": "start"}', '{"type": ["end"]}'])
def test_other_text_is_an_error_event_and_no_end(text: str) -> None:
    assert [event.get("code", event["type"]) for event in events_for([text, '{"type": "end"}'])] == ["message", "end"]


def test_an_impossible_aggressiveness_fails_while_loading() -> None:
    model = MODEL.Model(config={"model_metadata": {"aggressiveness": 9}})

    with pytest.raises(ValueError, match="mode"):
        model.load()


def test_a_wav_of_another_format_is_refused_with_advice(tmp_path: Path) -> None:
    import wave

    with wave.open(str(tmp_path / "cd.wav"), "wb") as wav:
        wav.setnchannels(2)
        wav.setsampwidth(2)
        wav.setframerate(44_100)
        wav.writeframes(bytes(400))

    with pytest.raises(ValueError, match="16 kHz"):
        list(STREAM_WAV.read_frames(tmp_path / "cd.wav"))
