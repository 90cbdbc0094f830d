from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from penstock.truss import TrussConfig, load_config
from penstock_runner.model.loader import load_model, prepare
from penstock_runner.model_life import ModelLife, Reloaded
from penstock_testing.asgi_call import AsgiCall

OLD = "class Model:\n    def load(self): self.weights = 'w'\n    def predict(self, x): return self.weights + '1'\n"
NEW = "class Model:\n    def load(self): self.weights = 'never'\n    def predict(self, x): return self.weights + '2'\n"
EXTRA = "    def chat_completions(self, x): return 0\n"


@pytest.fixture
def truss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "model").mkdir()
    (tmp_path / "config.yaml").write_text("model_name: life\n")
    monkeypatch.chdir(tmp_path)
    for name in ("APP_HOME", "PORT", "INFERENCE_SERVER_PORT", "HOSTNAME"):
        monkeypatch.setenv(name, "x")
    path, modules = list(sys.path), set(sys.modules)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def living(truss: Path, code: str, use: Callable[[ModelLife], Awaitable[None]]) -> None:
    (truss / "model" / "model.py").write_text(code)
    config: TrussConfig = load_config(truss)
    prepare(truss, config)
    model = load_model(truss, config)

    async def main() -> None:
        life = ModelLife(model, truss, config, None, on_traffic=lambda _: None, on_restart=lambda _: None)
        life.start()
        try:
            async with asyncio.timeout(20):
                await use(life)
        finally:
            life.stop()

    asyncio.run(main())


async def predict(life: ModelLife) -> object:
    return (await AsgiCall().run(life.app)).json()


def test_new_code_answers_new_calls_and_keeps_what_was_loaded(truss: Path) -> None:
    async def use(life: ModelLife) -> None:
        before = life.app
        (truss / "model" / "model.py").write_text(NEW)

        assert await life.reload() == Reloaded(True)
        assert await predict(life) == "w2"
        assert (await AsgiCall().run(before)).json() == "w1"

    living(truss, OLD, use)


def test_code_that_cannot_be_used_leaves_the_old_in_its_place(truss: Path) -> None:
    async def use(life: ModelLife) -> None:
        (truss / "model" / "model.py").write_text("class Model:\n    def predict(self, x) return 1\n")
        result = await life.reload()

        assert not result.is_done
        assert "SyntaxError" in result.message and "line 2" in result.message
        assert await predict(life) == "w1"

    living(truss, OLD, use)


def test_endpoints_are_those_of_the_newest_code(truss: Path) -> None:
    async def use(life: ModelLife) -> None:
        assert list(life.endpoints) == ["predict"]
        (truss / "model" / "model.py").write_text(NEW + EXTRA)
        await life.reload()
        assert list(life.endpoints) == ["predict", "chat_completions"]

    living(truss, OLD, use)


def test_a_model_is_ready_when_it_says_that_it_is_healthy(truss: Path) -> None:
    async def use(life: ModelLife) -> None:
        await life.wait_healthy()
        assert life.note == ""

    living(truss, OLD + "    def is_healthy(self): return True\n", use)
