"""The files that a new chain begins with. Pure."""

from __future__ import annotations

from string import Template

_CHAIN = Template('''\
"""A chain of two chainlets: HelloWorld is called by clients, and calls RandInt.

Run it here:  penstock chains run my_chain.py
Serve it:     penstock up --watch my_chain.py        (a saved file is live at once)
Call it:      penstock call $name '{"max_value": 3}'
"""

import asyncio
import random

import truss_chains as chains


# Each chainlet is a deployment of its own: with its own replicas, packages, GPUs and scaling.
class RandInt(chains.ChainletBase):
    remote_config = chains.RemoteConfig(
        compute=chains.Compute(cpu_count=1, predict_concurrency=8),  # calls that one replica answers at the same time
        # docker_image=chains.DockerImage(pip_requirements=["numpy>=2"]),
        # assets=chains.Assets(secret_keys=["some_token"]),
    )

    async def run_remote(self, max_value: int) -> int:
        return random.randint(1, max_value)


@chains.mark_entrypoint("$name")
class HelloWorld(chains.ChainletBase):
    remote_config = chains.RemoteConfig(compute=chains.Compute(predict_concurrency=8))

    # What is not given is made: a RandInt here with run_local, and a stub that calls it when the chain is served.
    def __init__(self, rand_int: RandInt = chains.depends(RandInt, retries=3)) -> None:
        self._rand_int = rand_int

    async def run_remote(self, max_value: int) -> str:
        repetitions = await self._rand_int.run_remote(max_value)
        return "Hello World! " * repetitions


if __name__ == "__main__":
    with chains.run_local():
        hello = HelloWorld()
        print(asyncio.run(hello.run_remote(max_value=5)))
''')

_IGNORE = """\
# What is not copied to the chainlets, written as in a .gitignore. .git, .venv and __pycache__ are left out anyway.
*.log
.env
"""


def chain_files(name: str) -> dict[str, str]:
    """Returns the files of a new chain, the chain itself first: paths relative to its folder, and their contents.

    Args:
        name: Of the chain, as addresses have it.
    """
    return {"my_chain.py": _CHAIN.substitute(name=name), ".truss_ignore": _IGNORE}
