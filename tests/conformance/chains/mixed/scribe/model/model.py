"""A plain Truss that finds a sibling when it runs in a chain."""

import json
import urllib.request

from truss_chains.public_types import MissingDependencyError
from truss_chains.remote_chainlet.truss_chainlet import TrussHandle


class Model:
    def load(self) -> None:
        try:
            self._adder = TrussHandle("Adder")
        except MissingDependencyError:
            self._adder = None

    def predict(self, request: dict) -> dict:
        if self._adder is None:
            return {"line": "alone"}
        url, headers = self._adder.http_call_args()
        call = urllib.request.Request(
            url, json.dumps(request).encode(), {**headers, "content-type": "application/json"}
        )
        with urllib.request.urlopen(call, timeout=30) as response:
            return {"line": f"the sum is {json.load(response)}"}
