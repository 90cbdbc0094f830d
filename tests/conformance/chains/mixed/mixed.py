"""An entrypoint that blocks its loop with synchronous calls, and a plain Truss that calls a chainlet by itself."""

import httpx
import truss_chains as chains
from truss_chains import utils
from truss_chains.remote_chainlet.truss_chainlet import TrussHandle


class Adder(chains.ChainletBase):
    def run_remote(self, numbers: list[int]) -> int:
        if not numbers:
            raise utils.InjectedError("nothing to add")
        return sum(numbers)


class Scribe(chains.TrussChainlet):
    truss_dir = "./scribe"


@chains.mark_entrypoint
class Mixed(chains.ChainletBase):
    def __init__(
        self,
        adder: Adder = chains.depends(Adder),
        scribe: TrussHandle = chains.depends(Scribe),
        context: chains.DeploymentContext = chains.depends_context(),
    ) -> None:
        self._adder = adder
        self._scribe = scribe
        self._key = context.get_baseten_api_key()

    async def run_remote(self, numbers: list[int]) -> tuple[int, str, str]:
        total = self._adder.run_remote(numbers)
        url, headers = self._scribe.http_call_args()
        async with httpx.AsyncClient(timeout=30) as client:
            response = await client.post(url, headers=headers, json={"numbers": numbers})
            response.raise_for_status()
        return total, response.json()["line"], self._key
