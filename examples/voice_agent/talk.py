"""Speaks to the voice agent: streams a WAV file as a microphone would, prints what it answers, and can keep the sound.

python examples/voice_agent/talk.py [FILE] [--url ws://…] [--speed 1.0] [--save answer.wav]
"""

import argparse
import asyncio
import json
import sys
import wave
from pathlib import Path

import websockets
from websockets.asyncio.client import ClientConnection, connect

FRAME_MS = 20
FRAME_SAMPLES = 320
URL = "ws://127.0.0.1:8000/chain/voice-agent/websocket"
RECORDING = Path(__file__).resolve().parent.parent / "voice_activity" / "two_sentences.wav"


def read_frames(path: Path) -> list[bytes]:
    """Returns frames of 20 ms, the last one filled up with silence. ValueError when the format is another."""
    frames = []
    with wave.open(str(path)) as wav:
        if (wav.getframerate(), wav.getnchannels(), wav.getsampwidth()) != (16_000, 1, 2):
            raise ValueError(
                f"{path}: needs 16 kHz, mono, 16 bit; convert it with: ffmpeg -i IN -ar 16000 -ac 1 OUT.wav"
            )
        while frame := wav.readframes(FRAME_SAMPLES):
            frames.append(frame.ljust(FRAME_SAMPLES * 2, b"\0"))
    return frames


async def speak(websocket: ClientConnection, frames: list[bytes], speed: float) -> None:
    clock = asyncio.get_running_loop().time
    began = clock()
    for number, frame in enumerate(frames, 1):
        await asyncio.sleep(began + number * FRAME_MS / 1000 / speed - clock())
        await websocket.send(frame)
    await websocket.send(json.dumps({"type": "end"}))


async def listen(websocket: ClientConnection) -> bytes:
    """Prints events until the agent closes the stream; returns the sound."""
    sound = bytearray()
    async for message in websocket:
        if isinstance(message, bytes):
            sound += message
            continue
        event = json.loads(message)
        at = f"{event.pop('at_ms') / 1000:7.2f} s" if "at_ms" in event else " " * 9
        print(f"{at}  {event['type']}  {event.get('text', '')}".rstrip(), flush=True)
    return bytes(sound)


async def talk(path: Path, url: str, speed: float) -> bytes:
    async with connect(url, compression=None) as websocket:
        speaking = asyncio.create_task(speak(websocket, read_frames(path), speed))
        try:
            return await listen(websocket)
        finally:
            speaking.cancel()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, nargs="?", default=RECORDING)
    parser.add_argument("--url", default=URL)
    parser.add_argument("--speed", type=float, default=1.0, help="1 is real time, 10 ten times as fast")
    parser.add_argument("--save", type=Path, help="WAV file for the answer")
    arguments = parser.parse_args()
    try:
        sound = asyncio.run(talk(arguments.file, arguments.url, arguments.speed))
    except ConnectionRefusedError:
        print(f"talk: nothing answers at {arguments.url}; start it, or give its --url", file=sys.stderr)
        return 1
    except (OSError, ValueError, wave.Error, websockets.WebSocketException) as problem:
        print(f"talk: {problem}", file=sys.stderr)
        return 1
    print(f"{len(sound) / 32_000:7.2f} s of answer")
    if arguments.save:
        with wave.open(str(arguments.save), "wb") as wav:
            wav.setnchannels(1)
            wav.setsampwidth(2)
            wav.setframerate(16_000)
            wav.writeframes(sound)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
