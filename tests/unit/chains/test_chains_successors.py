"""Hot reload of a chainlet: newer code takes over what the older one has, its stubs included."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.truss import load_config
from penstock_runner.model.errors import HotReloadError
from penstock_runner.model.importing import extend_path, import_model_class
from penstock_runner.model.loaded import LoadedModel
from penstock_runner.model.reloading import reload_model
from penstock_runner.predict.app import RequestApp
from penstock_testing.asgi_call import AsgiCall, config, loaded
from penstock_testing.chainlet_serving import Answering, FakeRuntime, Install

pytestmark = pytest.mark.usefixtures("fresh_registry", "clean_imports")

MODEL = """\
from penstock.chains.serving.model import make_model

Model = make_model("reloaded_chain", "Hello")
"""
CHAIN = """\
import pydantic
import truss_chains as chains

class Count(pydantic.BaseModel):
    count: int

class RandInt(chains.ChainletBase):
    async def run_remote(self, most: int) -> Count:
        return Count(count=most)

class Other(chains.ChainletBase):
    async def run_remote(self) -> int:
        return 1

class Hello(chains.ChainletBase):
    made = 0

    def __init__(self, rand_int: RandInt = chains.depends(RandInt)) -> None:
        Hello.made += 1
        self.weights = [1, 2, 3]
        self.rand_int = rand_int

    async def run_remote(self, most: int) -> Count:
        found = await self.rand_int.run_remote(most)
        assert isinstance(found, Count)
        return found
"""


class Truss:
    """A generated Truss directory of the chainlet Hello, loaded and saved anew."""

    def __init__(self, folder: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.folder = folder
        self.loop = loop
        for name, text in (("config.yaml", "model_name: hello"), ("model/model.py", MODEL)):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        (folder / "packages").mkdir()

    def save(self, chain: str) -> None:
        (self.folder / "packages" / "reloaded_chain.py").write_text(chain)

    def load(self) -> LoadedModel:
        read = load_config(self.folder)
        extend_path(self.folder, read)
        model_class, model_file = import_model_class(self.folder, read)
        instance: Any = model_class(config={}, data_dir=self.folder / "data", secrets={})
        instance.load()
        return loaded(instance, model_file)

    def reload(self, current: LoadedModel) -> LoadedModel:
        return reload_model(current, self.folder, load_config(self.folder))

    def answer(self, model: LoadedModel) -> Any:
        """What the chainlet answers on the runner's loop."""
        call = AsgiCall(body=b'{"most": 3}').run(RequestApp(model, config()))
        return self.loop.run_until_complete(call).json()


@pytest.fixture
def truss(tmp_path: Path, install: Install) -> Iterator[Truss]:
    packages = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "model"}
    loop = asyncio.new_event_loop()
    install(FakeRuntime({"RandInt": Answering(b'{"count": 7}'), "Other": None, "Hello": None}, loop))
    found = Truss(tmp_path / "truss", loop)
    found.save(CHAIN)
    yield found
    loop.close()
    for name in [name for name in sys.modules if name.partition(".")[0] == "model"]:
        del sys.modules[name]
    sys.modules.update(packages)


def chainlet_of(model: LoadedModel) -> Any:
    instance: Any = model.instance
    return instance._served.chainlet


def test_new_code_serves_with_the_old_state(truss: Truss) -> None:
    old = truss.load()
    truss.save(CHAIN.replace("return found", "return Count(count=found.count + sum(self.weights))"))

    new = truss.reload(old)

    assert truss.answer(new) == {"count": 13}
    assert chainlet_of(old) is not chainlet_of(new), "what began with the old code does not go on with it"
    assert chainlet_of(new).weights is chainlet_of(old).weights
    assert type(chainlet_of(new)).made == 0, "__init__ was run again"


def test_stubs_return_models_of_the_new_code(truss: Truss) -> None:
    old = truss.load()
    stub = chainlet_of(old).rand_int
    truss.save(CHAIN.replace("    count: int", "    count: int\n    unit: str = 'pieces'"))

    new = truss.reload(old)

    assert chainlet_of(new).rand_int is stub
    assert truss.answer(new) == {"count": 7, "unit": "pieces"}


def test_options_of_a_dependency_may_change(truss: Truss) -> None:
    old = truss.load()
    truss.save(CHAIN.replace("depends(RandInt)", "depends(RandInt, retries=5)"))

    new = truss.reload(old)

    assert chainlet_of(new).rand_int._service_descriptor.options.retries == 5


def test_a_new_dependency_needs_a_restart(truss: Truss) -> None:
    old = truss.load()
    stub_class = type(chainlet_of(old).rand_int)
    truss.save(
        CHAIN.replace(
            "rand_int: RandInt = chains.depends(RandInt))",
            "rand_int: RandInt = chains.depends(RandInt), other: Other = chains.depends(Other))",
        )
    )

    with pytest.raises(HotReloadError, match="A restart is needed: `Hello` has the new dependency `Other`") as raised:
        truss.reload(old)

    assert raised.value.needs_restart
    assert type(chainlet_of(old).rand_int) is stub_class
    assert truss.answer(old) == {"count": 7}


def test_code_that_breaks_a_rule_changes_nothing_and_can_be_mended(truss: Truss) -> None:
    old = truss.load()
    truss.save(CHAIN.replace("most: int) -> Count:\n        found", "most) -> Count:\n        found"))
    with pytest.raises(HotReloadError, match="ChainsUsageError"):
        truss.reload(old)
    assert truss.answer(old) == {"count": 7}

    truss.save(CHAIN.replace("return found", "return Count(count=1)"))

    assert truss.answer(truss.reload(old)) == {"count": 1}


def test_a_chainlet_whose_end_would_be_noticed_lives_on(truss: Truss) -> None:
    with_end = CHAIN.replace(
        "    made = 0\n", "    made = 0\n    ended = []\n\n    def __del__(self):\n        self.ended.append(1)\n"
    )
    truss.save(with_end)
    old = truss.load()
    ended = type(chainlet_of(old)).ended
    new = truss.reload(truss.reload(old))
    del old
    gc.collect()

    assert ended == []
    assert truss.answer(new) == {"count": 7}
