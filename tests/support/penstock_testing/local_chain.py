"""A chain to run in the process, made anew for each test."""

# ruff: noqa: I002  # annotations of chainlets must be types, not their texts
from typing import Any, cast

from penstock import chains


class Chain:
    """Top calls Middle and Other, which both call Rand; Middle has a context. Needs the fixture `fresh_registry`."""

    def __init__(self) -> None:
        class Rand(chains.ChainletBase):
            made = 0

            def __init__(self) -> None:
                Rand.made += 1

            async def run_remote(self, low: int) -> int:
                return low + 1

        class Middle(chains.ChainletBase):
            def __init__(
                self,
                rand: Rand = chains.depends(Rand),
                context: chains.DeploymentContext = chains.depends_context(),
            ) -> None:
                self.rand = rand
                self.context = context

            async def run_remote(self, low: int) -> int:
                return await self.rand.run_remote(low) * 10

        class Other(chains.ChainletBase):
            def __init__(self, rand: Rand = chains.depends(Rand)) -> None:
                self.rand = rand

            async def run_remote(self, low: int) -> int:
                return await self.rand.run_remote(low)

        class Top(chains.ChainletBase):
            def __init__(self, middle: Middle = chains.depends(Middle), other: Other = chains.depends(Other)) -> None:
                self.middle = middle
                self.other = other

            async def run_remote(self, low: int) -> int:
                return await self.middle.run_remote(low) + await self.other.run_remote(low)

        self.rand, self.middle, self.other, self.top = cast(Any, (Rand, Middle, Other, Top))
