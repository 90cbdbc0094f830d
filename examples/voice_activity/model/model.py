"""Voice activity detection: binary messages of 20 ms PCM in, speech_start and speech_end events out."""

from __future__ import annotations

import json
from collections import deque
from typing import Any

import fastapi
import webrtcvad

SAMPLE_RATE = 16_000
FRAME_MS = 20
FRAME_BYTES = SAMPLE_RATE * FRAME_MS // 1000 * 2

# The detector judges single frames and is wrong for some of them. A change counts only when most of a window agrees,
# and ending takes more agreement than starting, so that the gap inside a word does not split it.
WINDOW_FRAMES = 15
START_SHARE = 0.6
END_SHARE = 0.9

Event = dict[str, Any]


class SpeechDetector:
    """The state of one stream. Times are milliseconds of audio since its first frame."""

    def __init__(self, aggressiveness: int) -> None:
        self._vad = webrtcvad.Vad(aggressiveness)
        self._window: deque[bool] = deque(maxlen=WINDOW_FRAMES)
        self._speaking = False
        self._started_ms = 0
        self._speech_ms = 0
        self._now_ms = 0

    def feed(self, frame: bytes) -> Event | None:
        """Takes one frame; returns an event when it settles that speech began or ended."""
        self._window.append(self._vad.is_speech(frame, SAMPLE_RATE))
        self._now_ms += FRAME_MS
        voiced = sum(self._window)
        if not self._speaking and voiced > START_SHARE * WINDOW_FRAMES:
            return self._start()
        silent = len(self._window) - voiced
        if self._speaking and silent > END_SHARE * WINDOW_FRAMES:
            return self._end()
        return None

    def flush(self) -> list[Event]:
        """The audio is complete: ends what is still going on, and sums up."""
        events = [self._end()] if self._speaking else []
        return [*events, {"type": "end", "at_ms": self._now_ms, "speech_ms": self._speech_ms}]

    def _start(self) -> Event:
        frames_ago = len(self._window) - self._window.index(True)
        self._started_ms = self._now_ms - frames_ago * FRAME_MS
        self._speaking = True
        return {"type": "speech_start", "at_ms": self._started_ms}

    def _end(self) -> Event:
        newest_first = list(reversed(self._window))
        silent_frames = newest_first.index(True) if True in newest_first else len(newest_first)
        ended_ms = self._now_ms - silent_frames * FRAME_MS
        self._speech_ms += ended_ms - self._started_ms
        self._speaking = False
        self._window.clear()
        return {"type": "speech_end", "at_ms": ended_ms}


def error(code: str, message: str) -> Event:
    return {"type": "error", "code": code, "message": message}


class Model:
    def __init__(self, config: dict[str, Any]) -> None:
        metadata = config.get("model_metadata", {})
        self._aggressiveness = int(metadata.get("aggressiveness", 2))

    def load(self) -> None:
        # Fails here, before any stream comes, when the setting is out of range.
        webrtcvad.Vad(self._aggressiveness)

    async def websocket(self, websocket: fastapi.WebSocket) -> None:
        detector = SpeechDetector(self._aggressiveness)
        try:
            while True:
                message = await websocket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                frame = message.get("bytes")
                if frame is None:
                    if await self._control(websocket, detector, message["text"]):
                        return
                elif len(frame) != FRAME_BYTES:
                    text = f"expected {FRAME_BYTES} bytes ({FRAME_MS} ms of 16 kHz mono 16-bit PCM), got {len(frame)}"
                    await websocket.send_json(error("frame_size", text))
                elif (event := detector.feed(frame)) is not None:
                    await websocket.send_json(event)
        except fastapi.WebSocketDisconnect:
            pass

    async def _control(self, websocket: fastapi.WebSocket, detector: SpeechDetector, text: str) -> bool:
        """Handles a text message; True when the stream is over."""
        try:
            kind = json.loads(text)["type"]
        except (ValueError, TypeError, KeyError):
            kind = None
        if kind != "end":
            await websocket.send_json(error("message", 'expected a binary frame or {"type": "end"}'))
            return False
        for event in detector.flush():
            await websocket.send_json(event)
        return True
