"""A chain of one hop that measures itself."""

import hop_load
import hop_types
import truss_chains as chains


class Notes(chains.ChainletBase):
    """Answers with what it gets."""

    remote_config = chains.RemoteConfig(compute=chains.Compute(predict_concurrency=256))

    async def run_remote(self, note: hop_types.Note) -> hop_types.Note:
        return note


class Frames(chains.ChainletBase):
    """Answers with the array that it gets."""

    remote_config = chains.RemoteConfig(compute=chains.Compute(predict_concurrency=256))

    async def run_remote(self, frame: hop_types.Frame) -> hop_types.Frame:
        return frame


@chains.mark_entrypoint("hop")
class Load(chains.ChainletBase):
    """Calls one of the two as fast as it answers."""

    def __init__(
        self,
        notes: Notes = chains.depends(Notes),
        frames: Frames = chains.depends(Frames, use_binary=True),
    ) -> None:
        self._notes = notes
        self._frames = frames

    async def run_remote(self, kind: str, in_flight: int, seconds: float, warm_s: float) -> dict[str, float]:
        if kind == "note":
            note = hop_types.make_note()

            async def call() -> None:
                answer = await self._notes.run_remote(note)
                assert len(answer.text) == len(note.text)
        else:
            frame = hop_types.make_frame()

            async def call() -> None:
                answer = await self._frames.run_remote(frame)
                assert answer.samples.array.nbytes == frame.samples.array.nbytes

        return await hop_load.measure(call, in_flight, seconds, warm_s)
