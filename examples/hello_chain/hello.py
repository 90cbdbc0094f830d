"""A chain of two chainlets: one draws a number, the other says a text so many times."""

import random

import truss_chains as chains


class RandInt(chains.ChainletBase):
    """Draws a number. It has replicas, hardware and requirements of its own."""

    remote_config = chains.RemoteConfig(compute=chains.Compute(cpu_count=1, predict_concurrency=8))

    async def run_remote(self, max_value: int) -> int:
        return random.randint(1, max_value)


@chains.mark_entrypoint("Hello chain")
class HelloWorld(chains.ChainletBase):
    """Clients call this one; it calls the other as if it were an object in the same process."""

    def __init__(self, rand_int: RandInt = chains.depends(RandInt, retries=3)) -> None:
        self._rand_int = rand_int

    async def run_remote(self, max_value: int, text: str = "Hello World ") -> str:
        return text * await self._rand_int.run_remote(max_value)


if __name__ == "__main__":
    import asyncio

    class FakeRandInt:
        async def run_remote(self, max_value: int) -> int:
            return max_value

    with chains.run_local():
        print(asyncio.run(HelloWorld().run_remote(max_value=5)))
        fake: RandInt = FakeRandInt()  # type: ignore[assignment]  # in a test, a dependency can be any object
        print(asyncio.run(HelloWorld(rand_int=fake).run_remote(max_value=2)))
