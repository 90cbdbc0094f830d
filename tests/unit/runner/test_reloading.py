"""Hot reload: new code, old state, and nothing lost when the new code is bad (truss.md section 2.8)."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from penstock.truss import load_config
from penstock_runner.model import reloading
from penstock_runner.model.errors import HotReloadError
from penstock_runner.model.loaded import LoadedModel
from penstock_runner.model.loader import load_model, prepare
from penstock_runner.model.reloading import reload_model

FIRST = """\
class Model:
    loads = 0
    def load(self):
        Model.loads += 1
        self.weights = [1, 2, 3]
    def predict(self, inputs):
        return "one"
"""
SECOND = FIRST.replace("one", "two")


@pytest.fixture(autouse=True)
def untouched_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    path, modules = list(sys.path), set(sys.modules)
    for name in ("APP_HOME", "PORT", "INFERENCE_SERVER_PORT", "HOSTNAME"):
        monkeypatch.setenv(name, "x")
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


class Truss:
    """A Truss directory whose model is loaded, and saved anew."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, model: str = "", *, files: Mapping[str, str] | None = None) -> None:
        contents = {**(files or {}), **({"model/model.py": model} if model else {})}
        for name, text in contents.items():
            file = self.folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    def load(self, model: str, *, config: str = "", files: Mapping[str, str] | None = None) -> LoadedModel:
        self.save(model, files={"config.yaml": config, **(files or {})})
        loaded = load_config(self.folder)
        prepare(self.folder, loaded)
        return load_model(self.folder, loaded, pause=lambda seconds: None)

    def reload(self, current: LoadedModel) -> LoadedModel:
        return reload_model(current, self.folder, load_config(self.folder))

    def failure(self, current: LoadedModel) -> HotReloadError:
        with pytest.raises(HotReloadError) as caught:
            self.reload(current)
        return caught.value


@pytest.fixture
def truss(tmp_path: Path) -> Truss:
    return Truss(tmp_path)


def predict(model: LoadedModel) -> Any:
    return model.instance.predict(None)  # type: ignore[attr-defined]  # user's method


def users_modules() -> dict[str, ModuleType]:
    """The modules of the tests' Truss directories, by the names that they use."""
    return {name: module for name, module in sys.modules.items() if name.partition(".")[0] in ("model", "helper")}


def test_new_code_serves_with_the_old_state_and_without_load(truss: Truss) -> None:
    old = truss.load(FIRST)
    truss.save(SECOND)

    new = truss.reload(old)

    assert predict(new) == "two"
    assert new.instance.weights is old.instance.weights  # type: ignore[attr-defined]  # user's attribute
    assert type(new.instance).loads == 0  # type: ignore[attr-defined]  # user's attribute
    assert new.model_file == old.model_file
    assert new.definition.predict == new.instance.predict  # type: ignore[attr-defined]  # user's attribute


def test_old_object_keeps_its_code(truss: Truss) -> None:
    """Streams that are open stay on the code they began with."""
    old = truss.load(FIRST)
    truss.save(SECOND)
    truss.reload(old)

    assert predict(old) == "one"
    assert type(old.instance).loads == 1  # type: ignore[attr-defined]  # user's attribute


def test_open_stream_goes_on_with_the_code_it_began_with(truss: Truss) -> None:
    source = """\
from model import helper
class Model:
    def load(self): self.seen = []
    async def websocket(self, websocket):
        self.seen.append(NAME + helper.NAME)
        await websocket.wait()
        self.seen.append(NAME + helper.NAME)
NAME = "one"
"""
    old = truss.load(source, files={"model/helper.py": "NAME = ' helper'\n"})

    async def main() -> LoadedModel:
        gate = asyncio.Event()
        assert old.websocket is not None
        stream = asyncio.create_task(old.websocket(gate))  # type: ignore[arg-type, var-annotated]  # stands for a WebSocket
        await asyncio.sleep(0)
        truss.save(source.replace("one", "two"), files={"model/helper.py": "NAME = ' other'\n"})
        new = await asyncio.to_thread(truss.reload, old)
        gate.set()
        await stream
        assert new.websocket is not None
        await new.websocket(gate)  # type: ignore[arg-type]  # stands for a WebSocket
        return new

    new = asyncio.run(main())

    seen = new.instance.seen  # type: ignore[attr-defined]  # user's attribute
    assert seen == ["one helper", "one helper", "two other", "two other"]


def test_both_objects_see_what_either_sets(truss: Truss) -> None:
    old = truss.load(FIRST)
    new = truss.reload(old)

    old.instance.count = 1  # type: ignore[attr-defined]  # user's attribute
    new.instance.count += 1  # type: ignore[attr-defined]  # user's attribute
    assert old.instance.count == 2  # type: ignore[attr-defined]  # user's attribute
    old_weights = new.instance.weights  # type: ignore[attr-defined]  # user's attribute
    del old
    gc.collect(1)

    assert new.instance.weights is old_weights  # type: ignore[attr-defined]  # user's attribute


def test_reload_may_be_repeated(truss: Truss) -> None:
    model = truss.load(FIRST)
    for number in range(10):
        truss.save(FIRST.replace("one", f"{number:03}"))
        model = truss.reload(model)
        assert predict(model) == f"{number:03}"

    assert model.instance.weights == [1, 2, 3]  # type: ignore[attr-defined]  # user's attribute
    assert model.predecessors == ()


def test_code_of_the_same_size_and_second_is_not_taken_from_the_cache(truss: Truss) -> None:
    """Python's cached files are good for a source of the same size and the same second."""
    model = truss.load("import helper\nclass Model:\n    def predict(self, x): return helper.X\n", files=helper("1"))
    before = (truss.folder / "packages/helper.py").stat()
    for value in "234":
        truss.save(files=helper(value))
        os_utime(truss.folder / "packages/helper.py", before.st_mtime)
        model = truss.reload(model)

        assert predict(model) == int(value)


def helper(value: str) -> dict[str, str]:
    return {"packages/helper.py": f"X = {value}\n"}


def os_utime(path: Path, time: float) -> None:
    os.utime(path, (time, time))


@pytest.mark.parametrize("place", ["packages/helper.py", "helper.py", "model/helper.py", "packages/helper/__init__.py"])
def test_all_modules_of_the_directory_are_imported_anew(place: str, truss: Truss) -> None:
    statement = "from model import helper" if place.startswith("model") else "import helper"
    source = f"{statement}\nclass Model:\n    def predict(self, inputs): return helper.X\n"
    old = truss.load(source, files={place: "X = 1\n"})
    truss.save(files={place: "X = 22\n"})

    assert predict(truss.reload(old)) == 22
    assert predict(old) == 1


def test_modules_of_external_packages_are_imported_anew(truss: Truss, tmp_path: Path) -> None:
    truss.folder = tmp_path / "truss"
    source = "import helper\nclass Model:\n    def predict(self, inputs): return helper.X\n"
    config = "external_package_dirs: [../shared]\n"
    old = truss.load(source, config=config, files={"../shared/helper.py": "X = 1\n"})
    truss.save(files={"../shared/helper.py": "X = 22\n"})

    assert predict(truss.reload(old)) == 22


def test_new_modules_are_found(truss: Truss) -> None:
    old = truss.load(FIRST)
    truss.save(
        "from model.helper import X\nclass Model:\n    def predict(self, inputs): return X\n",
        files={"model/helper.py": "X = 5\n"},
    )

    assert predict(truss.reload(old)) == 5


BAD = [
    pytest.param("class Model\n    pass\n", "SyntaxError: expected ':' (model/model.py, line 1)", id="syntax"),
    pytest.param(
        "class Model:\nx = 1\n",
        "IndentationError: expected an indented block after class definition on line 1 (model/model.py, line 2)",
        id="indentation",
    ),
    pytest.param(
        "import json\nimport not_there\n",
        "ModuleNotFoundError: No module named 'not_there' (model/model.py, line 2)",
        id="import",
    ),
    pytest.param("\n1 / 0\n", "ZeroDivisionError: division by zero (model/model.py, line 2)", id="exception"),
    pytest.param("import sys; sys.exit(3)\n", "SystemExit: 3 (model/model.py, line 1)", id="exit"),
    pytest.param("import helper\n", "SyntaxError: '(' was never closed (packages/helper.py, line 2)", id="package"),
    pytest.param("class Modle: pass\n", "model/model.py: there is no class `Model` in it; it defines", id="name"),
    pytest.param(
        "class Model: pass\n",
        "ModelDefinitionError: Truss model `Model` must have a `predict` or `websocket` method. (model/model.py)",
        id="no method",
    ),
]


@pytest.mark.parametrize(("source", "message"), BAD)
def test_bad_code_is_refused_and_the_old_one_goes_on(source: str, message: str, truss: Truss) -> None:
    files = {"packages/helper.py": "X = 1\n"}
    old = truss.load("import helper\nfrom model import other\n" + FIRST, files={**files, "model/other.py": ""})
    before, path = users_modules(), list(sys.path)
    truss.save(source, files={"packages/helper.py": "X = 1\nY = (\n"} if "helper" in source else files)

    error = truss.failure(old)

    assert error.message.startswith(message)
    assert not error.needs_restart
    assert "penstock_runner" not in error.report()
    assert users_modules() == before
    assert sys.path == path
    assert predict(old) == "one"


def test_bad_code_may_be_mended(truss: Truss) -> None:
    old = truss.load(FIRST)
    truss.save("1 / 0\n")
    truss.failure(old)
    truss.save("1 / 1\n" + SECOND)

    assert predict(truss.reload(old)) == "two"


def test_import_path_of_a_refused_config_does_not_stay(truss: Truss, tmp_path: Path) -> None:
    truss.folder = tmp_path / "truss"
    old = truss.load(FIRST, files={"../shared/unused.py": ""})
    path = list(sys.path)
    truss.save("1 / 0\n", files={"config.yaml": "external_package_dirs: [../shared]\n"})

    truss.failure(old)

    assert sys.path == path


def test_module_that_raises_leaves_nothing_in_the_cache(truss: Truss) -> None:
    old = truss.load(FIRST)
    truss.save("import helper\n" + SECOND, files={"packages/helper.py": "1 / 0\n"})
    written = (truss.folder / "packages/helper.py").stat().st_mtime
    truss.failure(old)
    truss.save(files={"packages/helper.py": "1 / 1\n"})
    os_utime(truss.folder / "packages/helper.py", written)

    assert predict(truss.reload(old)) == "two"


def test_old_code_that_imports_during_a_reload_finds_its_own_modules(truss: Truss) -> None:
    lazy = "class Model:\n    def predict(self, inputs):\n        from model.near import X\n        return X\n"
    old = truss.load(lazy, files={"model/near.py": "X = 1\n"})
    predict(old)
    seen: list[object] = []

    def during() -> None:
        thread = threading.Thread(target=lambda: seen.append(predict(old)))
        thread.start()
        thread.join(20)

    setattr(sys, "_penstock_test_during", during)  # noqa: B010  # mypy knows no such attribute
    try:
        truss.save("import sys\nsys._penstock_test_during()\n" + lazy, files={"model/near.py": "X = 22\n"})
        new = truss.reload(old)
    finally:
        delattr(sys, "_penstock_test_during")

    assert seen == [1]
    assert predict(new) == 22


def test_module_that_only_the_bad_code_has_imported_does_not_stay(truss: Truss) -> None:
    old = truss.load(FIRST)
    truss.save("import helper\n1 / 0\n", files=helper("1"))

    truss.failure(old)

    assert "helper" not in sys.modules


def test_traceback_shows_the_authors_frames(truss: Truss) -> None:
    old = truss.load(FIRST)
    truss.save("def fail():\n    1 / 0\nfail()\n")

    error = truss.failure(old)

    assert error.user_traceback.splitlines()[1] == f'  File "{truss.folder}/model/model.py", line 3, in <module>'


def test_installed_modules_and_those_in_the_data_folder_stay(truss: Truss) -> None:
    source = "import installed, weights\nclass Model:\n    def predict(self, inputs): return installed, weights\n"
    files = {".venv/lib/site-packages/installed.py": "", "env/site-packages/unused.py": "", "data/weights.py": ""}
    truss.save(files=files)
    sys.path += [str(truss.folder / ".venv/lib/site-packages"), str(truss.folder / "data")]
    old = truss.load(source)

    new = truss.reload(old)

    assert predict(new) == predict(old)


def test_package_that_stays_gets_its_old_module_back(truss: Truss, tmp_path: Path) -> None:
    """A namespace package that has folders elsewhere, too, is not the user's."""
    (tmp_path / "elsewhere/helper").mkdir(parents=True)
    truss.folder = tmp_path / "truss"
    source = "import helper.inner\n" + FIRST
    sys.path.append(str(tmp_path / "elsewhere"))
    old = truss.load(source, files={"packages/helper/inner.py": ""})
    package, inner = sys.modules["helper"], sys.modules["helper.inner"]
    truss.save(source + "1 / 0\n")

    truss.failure(old)

    assert sys.modules["helper"] is package
    assert vars(package)["inner"] is inner is sys.modules["helper.inner"]


def test_object_whose_end_would_be_noticed_is_kept(truss: Truss) -> None:
    source = FIRST + "    def __del__(self): self.weights.clear()\n"
    model = truss.load(source)
    for _ in range(2):
        model = truss.reload(model)
    gc.collect(1)

    assert model.instance.weights == [1, 2, 3]  # type: ignore[attr-defined]  # user's attribute
    assert len(model.predecessors) == 2


def test_end_of_a_class_that_is_refused_is_not_noticed(truss: Truss) -> None:
    old = truss.load(FIRST + "    def __del__(self): self.weights.clear()\n")
    slots = "    __slots__ = ('a',)\n    def __del__(self): pass\n    def predict(self, inputs): pass\n"
    for source in ("    def __del__(self): self.weights.clear()\n", slots):
        truss.save("class Model:\n" + source)
        truss.failure(old)
    gc.collect(1)

    assert old.instance.weights == [1, 2, 3]  # type: ignore[attr-defined]  # user's attribute


def test_object_that_others_hold_weakly_is_kept(truss: Truss) -> None:
    source = FIRST.replace("self.weights", "import weakref; self.reference = weakref.ref(self); self.weights")
    model = truss.reload(truss.load(source))
    gc.collect(1)

    assert model.instance.reference() is model.predecessors[0]  # type: ignore[attr-defined]  # user's attribute


def test_reloads_wait_for_one_another(truss: Truss) -> None:
    old = truss.load(FIRST)
    truss.save(SECOND)
    reloaded: list[LoadedModel] = []
    thread = threading.Thread(target=lambda: reloaded.append(truss.reload(old)))

    with reloading._one_at_a_time:
        thread.start()
        thread.join(0.05)
        assert reloaded == []
    thread.join(20)

    assert predict(reloaded[0]) == "two"
