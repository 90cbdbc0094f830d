"""Retrieval and generation: two shards of a library are searched at once, a generator writes with what they found.

The models are small stand-ins: words are hashed into vectors, and the generator quotes. What goes over the wire is
real: questions as batches of vectors, in binary, to both shards at the same time.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator

import numpy as np
import pydantic
import truss_chains as chains
from truss_chains.pydantic_numpy import NumpyArrayField

DIMENSIONS = 256

LIBRARY = [
    "A penstock brings water under pressure to a turbine.",
    "A surge tank takes up pressure when a valve closes fast.",
    "A spillway lets water pass a dam that is full.",
    "Trash racks keep driftwood out of the intake.",
    "A Pelton wheel is a turbine for high heads and little water.",
    "A Kaplan turbine has blades that turn, for low heads.",
    "Fish ladders let salmon pass the dam.",
    "A draft tube slows the water behind the turbine.",
]

NUMPY = chains.DockerImage(pip_requirements=["numpy"])


class Vectors(pydantic.BaseModel):
    """One row per text, of length 1."""

    rows: NumpyArrayField


class Passage(pydantic.BaseModel):
    text: str
    score: float


class Embedder(chains.ChainletBase):
    """Turns texts into vectors."""

    remote_config = chains.RemoteConfig(docker_image=NUMPY, compute=chains.Compute(cpu_count=1, predict_concurrency=16))

    async def run_remote(self, texts: list[str]) -> Vectors:
        rows = np.zeros((len(texts), DIMENSIONS), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in text.lower().replace(".", "").replace("?", "").split():
                row[int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest()) % DIMENSIONS] += 1
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        return Vectors(rows=NumpyArrayField(array=rows / np.maximum(lengths, 1e-9)))


class EvenShard(chains.ChainletBase):
    """Searches one half of the library."""

    remote_config = chains.RemoteConfig(docker_image=NUMPY, compute=chains.Compute(cpu_count=1, predict_concurrency=16))
    texts = LIBRARY[::2]

    def __init__(self, embedder: Embedder = chains.depends(Embedder, use_binary=True)) -> None:
        self._embedder = embedder
        self._lock = asyncio.Lock()
        self._rows: np.ndarray | None = None

    async def run_remote(self, question: Vectors, top: int) -> list[Passage]:
        async with self._lock:
            if self._rows is None:
                self._rows = (await self._embedder.run_remote(self.texts)).rows.array
        scores = self._rows @ question.rows.array[0]
        best = np.argsort(-scores)[:top]
        return [Passage(text=self.texts[n], score=float(scores[n])) for n in best]


class OddShard(EvenShard):
    """Searches the other half."""

    texts = LIBRARY[1::2]


class Writer(chains.ChainletBase):
    """Writes an answer word by word."""

    remote_config = chains.RemoteConfig(compute=chains.Compute(cpu_count=1, predict_concurrency=16))

    async def run_remote(self, question: str, passages: list[Passage]) -> AsyncIterator[str]:
        yield f"You asked: {question}\n"
        for passage in passages:
            for word in passage.text.split():
                yield word + " "
        yield "\n"


@chains.mark_entrypoint("rag")
class Rag(chains.ChainletBase):
    """Asks both shards at once, and lets the writer write."""

    remote_config = chains.RemoteConfig(docker_image=NUMPY, compute=chains.Compute(cpu_count=1, predict_concurrency=16))

    def __init__(
        self,
        embedder: Embedder = chains.depends(Embedder, use_binary=True),
        even: EvenShard = chains.depends(EvenShard, use_binary=True, retries=2),
        odd: OddShard = chains.depends(OddShard, use_binary=True, retries=2),
        writer: Writer = chains.depends(Writer),
    ) -> None:
        self._embedder = embedder
        self._shards = (even, odd)
        self._writer = writer

    async def run_remote(self, question: str, top: int = 2) -> AsyncIterator[str]:
        vectors = await self._embedder.run_remote([question])
        found = await asyncio.gather(*(shard.run_remote(vectors, top) for shard in self._shards))
        passages = sorted((passage for part in found for passage in part), key=lambda passage: -passage.score)
        async for part in self._writer.run_remote(question, passages[:top]):
            yield part


if __name__ == "__main__":

    async def ask(rag: Rag) -> None:
        async for part in rag.run_remote("What brings water to a turbine?"):
            print(part, end="", flush=True)

    with chains.run_local():
        asyncio.run(ask(Rag()))
