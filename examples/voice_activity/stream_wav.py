"""Streams a WAV file to the voice_activity model as a microphone would, and prints the events.

python examples/voice_activity/stream_wav.py [FILE] [--url ws://…] [--speed 1.0]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import wave
from collections.abc import Iterator
from pathlib import Path

import websockets
from websockets.asyncio.client import ClientConnection, connect

FRAME_MS = 20
URL = "ws://127.0.0.1:8000/model/voice_activity/websocket"


def read_frames(path: Path) -> Iterator[bytes]:
    """Yields frames of 20 ms, the last one filled up with silence. ValueError when the format is another."""
    with wave.open(str(path)) as wav:
        if (wav.getframerate(), wav.getnchannels(), wav.getsampwidth()) != (16_000, 1, 2):
            raise ValueError(
                f"{path}: needs 16 kHz, mono, 16 bit; convert it with: ffmpeg -i IN -ar 16000 -ac 1 OUT.wav"
            )
        samples = wav.getframerate() * FRAME_MS // 1000
        while frame := wav.readframes(samples):
            yield frame.ljust(samples * 2, b"\0")


async def send(websocket: ClientConnection, frames: Iterator[bytes], speed: float) -> None:
    """Sends each frame when a microphone would have it, `speed` times as fast."""
    clock = asyncio.get_running_loop().time
    began = clock()
    for number, frame in enumerate(frames, 1):
        await asyncio.sleep(began + number * FRAME_MS / 1000 / speed - clock())
        await websocket.send(frame)
    await websocket.send(json.dumps({"type": "end"}))


async def show(websocket: ClientConnection) -> None:
    """Prints events until the model closes the stream."""
    async for message in websocket:
        event = json.loads(message)
        at = f"{event.pop('at_ms') / 1000:7.2f} s" if "at_ms" in event else " " * 9
        details = "  ".join(f"{key}={value}" for key, value in event.items() if key != "type")
        print(f"{at}  {event['type']}  {details}".rstrip(), flush=True)


async def stream(path: Path, url: str, speed: float) -> None:
    async with connect(url, compression=None) as websocket, asyncio.TaskGroup() as tasks:
        tasks.create_task(show(websocket))
        tasks.create_task(send(websocket, read_frames(path), speed))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, nargs="?", default=Path(__file__).parent / "two_sentences.wav")
    parser.add_argument("--url", default=URL)
    parser.add_argument("--speed", type=float, default=1.0, help="1 is real time, 10 ten times as fast")
    arguments = parser.parse_args()
    status = 0
    try:
        asyncio.run(stream(arguments.file, arguments.url, arguments.speed))
    except* (OSError, ValueError, wave.Error, websockets.WebSocketException) as problems:
        for problem in problems.exceptions:
            print(f"stream_wav: {problem}", file=sys.stderr)
        status = 1
    return status


if __name__ == "__main__":
    raise SystemExit(main())
