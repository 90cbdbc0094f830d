"""Makes two_sentences.wav anew with the speech synthesiser espeak-ng: two sentences, with silence around them."""

from __future__ import annotations

import array
import io
import math
import random
import subprocess
import sys
import wave
from pathlib import Path

RATE = 16_000
SENTENCES = ("Good morning.", "The stream is open.")
PAUSE_S = 0.8
NOISE = 12
"""Amplitude of the background noise, of 32,767: digital silence does not occur in a room."""


def speak(sentence: str) -> list[float]:
    """The sentence as 16 kHz samples."""
    command = ["espeak-ng", "-v", "en-us", "-s", "150", "--stdout", sentence]
    with wave.open(io.BytesIO(subprocess.run(command, capture_output=True, check=True).stdout)) as wav:
        rate = wav.getframerate()
        samples = array.array("h", wav.readframes(10 * rate))
    step = rate / RATE
    spoken = []
    for i in range(int((len(samples) - 1) / step)):
        whole, part = int(i * step), i * step % 1
        spoken.append(samples[whole] * (1 - part) + samples[whole + 1] * part)
    # espeak-ng surrounds speech with silence of its own.
    loud = [i for i, value in enumerate(spoken) if abs(value) > 200]
    return spoken[loud[0] : loud[-1] + 1]


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "two_sentences.wav"
    pause = [0.0] * int(PAUSE_S * RATE)
    audio = list(pause)
    for sentence in SENTENCES:
        audio += [*speak(sentence), *pause]
    noise = random.Random(1)
    samples = array.array("h", (math.floor(value * 0.6 + noise.uniform(-NOISE, NOISE)) for value in audio))
    with wave.open(str(path), "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(RATE)
        wav.writeframes(samples.tobytes())
    print(f"{path}: {len(samples) / RATE:.2f} s")


if __name__ == "__main__":
    main()
