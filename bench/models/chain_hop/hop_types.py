"""Arguments and results of the two functions that are called, for the chain and for FastAPI."""

import numpy as np
import pydantic
from truss_chains.pydantic_numpy import NumpyArrayField


class Note(pydantic.BaseModel):
    """1 KiB as JSON."""

    title: str
    tags: list[str]
    values: list[float]
    text: str


class Frame(pydantic.BaseModel):
    """4 MiB of samples."""

    number: int
    samples: NumpyArrayField


def make_note() -> Note:
    note = Note(title="a hop", tags=["alpha", "beta"], values=[0.5 * n for n in range(40)], text="")
    note.text = "x" * (1024 - len(note.model_dump_json()))
    return note


def make_frame() -> Frame:
    samples = np.random.default_rng(7).standard_normal(1024 * 1024, dtype=np.float32)
    return Frame(number=1, samples=NumpyArrayField(array=samples))
