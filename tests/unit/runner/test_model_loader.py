"""From a Truss directory to a model that is ready (truss.md section 2.1)."""

from __future__ import annotations

import faulthandler
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import structlog

from penstock.truss import load_config
from penstock_runner.model.errors import ModelLoadError
from penstock_runner.model.loaded import LoadedModel
from penstock_runner.model.loader import load_model, prepare

WEBSOCKET = "    async def websocket(self, websocket): pass\n"


@pytest.fixture(autouse=True)
def untouched_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    path, modules, environment = list(sys.path), set(sys.modules), dict(os.environ)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]
    for name in set(os.environ) - set(environment):
        del os.environ[name]
    os.environ.update(environment)


class Pauses(list[float]):
    """Notes pauses instead of making them."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def load(
    folder: Path,
    source: str,
    *,
    config: str = "",
    files: Mapping[str, str] | None = None,
    environment: Mapping[str, Any] | None = None,
    pause: Pauses | None = None,
) -> LoadedModel:
    for name, text in {"config.yaml": config, "model/model.py": source, **(files or {})}.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    loaded = load_config(folder)
    prepare(folder, loaded)
    return load_model(folder, loaded, environment=environment, pause=Pauses() if pause is None else pause)


def failure(folder: Path, source: str, **kwargs: Any) -> ModelLoadError:
    with pytest.raises(ModelLoadError) as caught:
        load(folder, source, **kwargs)
    return caught.value


def test_websocket_method_is_bound_to_the_instance(tmp_path: Path) -> None:
    model = load(tmp_path, f"class Model:\n{WEBSOCKET}")

    assert model.websocket == model.instance.websocket  # type: ignore[attr-defined]
    assert model.model_file == tmp_path / "model" / "model.py"


def test_predict_model_has_no_websocket(tmp_path: Path) -> None:
    assert load(tmp_path, "class Model:\n    def predict(self, inputs): pass\n").websocket is None


def test_init_gets_what_its_signature_names(tmp_path: Path) -> None:
    init = "    def __init__(self, data_dir, config, other=3):\n        self.got = data_dir, config, other\n"
    source = f"class Model:\n{init}{WEBSOCKET}"

    model = load(tmp_path, source, config="unknown: [1]\n")

    assert model.instance.got == (Path("data"), {"unknown": [1]}, 3)  # type: ignore[attr-defined]


def test_init_with_kwargs_gets_everything(tmp_path: Path) -> None:
    source = f"class Model:\n    def __init__(self, **kwargs):\n        self.got = kwargs\n{WEBSOCKET}"

    model = load(tmp_path, source, environment={"name": "staging"})

    got = model.instance.got  # type: ignore[attr-defined]
    assert sorted(got) == ["config", "data_dir", "environment", "lazy_data_resolver", "secrets"]
    assert got["environment"] == {"name": "staging"}
    got["lazy_data_resolver"].block_until_download_complete()


def test_environment_is_none_when_there_is_none(tmp_path: Path) -> None:
    source = f"class Model:\n    def __init__(self, environment):\n        self.got = environment\n{WEBSOCKET}"

    assert load(tmp_path, source).instance.got is None  # type: ignore[attr-defined]


def test_secrets_are_looked_up_when_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = f"class Model:\n    def __init__(self, secrets):\n        self.secrets = secrets\n{WEBSOCKET}"
    model = load(tmp_path, source, config="secrets: {token: null}\n")

    monkeypatch.setenv("TRUSS_SECRET_token", "hush")

    assert model.instance.secrets["token"] == "hush"  # type: ignore[attr-defined]


def test_process_is_prepared_as_a_truss_server_is(tmp_path: Path) -> None:
    """Working directory and environment variables are there before the import."""
    source = f"import os\nSEEN = os.getcwd(), os.environ['FROM_CONFIG']\nclass Model:\n{WEBSOCKET}"

    load(tmp_path, source, config="environment_variables: {FROM_CONFIG: true}\n")

    seen = sys.modules["model.model"].SEEN
    assert seen == (str(tmp_path), "true")


def test_what_the_controller_has_set_is_not_changed_by_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {"PENSTOCK_REPLICA_ID": "m-1-aaaaa", "PENSTOCK_REPLICA_GPUS": "1", "CUDA_VISIBLE_DEVICES": "1"}
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    source = f"import os\nSEEN = dict(os.environ)\nclass Model:\n{WEBSOCKET}"

    config = "environment_variables: {PENSTOCK_REPLICA_ID: x, CUDA_VISIBLE_DEVICES: 0, PYTHONSAFEPATH: y, OTHER: z}\n"
    load(tmp_path, source, config=config)

    seen = sys.modules["model.model"].SEEN
    assert {name: seen[name] for name in own} == own
    assert seen.get("PYTHONSAFEPATH") != "y"
    assert seen["OTHER"] == "z"


@pytest.mark.parametrize("signature", ["self, data_dir", "self, **kwargs", "self, *, secrets, data_dir=None"])
def test_data_folder_is_made_for_a_model_that_asks_for_it(signature: str, tmp_path: Path) -> None:
    init = f"    def __init__({signature}):\n        self.is_there = os.path.isdir('blobs/big')\n"

    model = load(tmp_path, f"import os\nclass Model:\n{init}{WEBSOCKET}", config="data_dir: blobs/big\n")

    assert model.instance.is_there  # type: ignore[attr-defined]  # user's attribute


def test_data_folder_is_not_made_for_a_model_that_does_not_ask_for_it(tmp_path: Path) -> None:
    load(tmp_path, f"class Model:\n    def __init__(self, config, secrets): pass\n{WEBSOCKET}")

    assert not (tmp_path / "data").exists()


def test_load_runs_once_after_init(tmp_path: Path) -> None:
    source = f"class Model:\n    calls = 0\n    def load(self):\n        self.calls += 1\n{WEBSOCKET}"

    assert load(tmp_path, source).instance.calls == 1  # type: ignore[attr-defined]


def test_setup_environment_runs_before_load(tmp_path: Path) -> None:
    source = (
        "class Model:\n"
        "    def setup_environment(self, environment): self.environment = environment\n"
        f"    def load(self): self.seen = self.environment\n{WEBSOCKET}"
    )

    model = load(tmp_path, source, environment={"name": "production"})

    assert model.instance.seen == {"name": "production"}  # type: ignore[attr-defined]


FAILS_TWICE = f"""\
class Model:
    calls = 0
    def load(self):
        self.calls += 1
        if self.calls < 3:
            raise OSError(f"attempt {{self.calls}}")
{WEBSOCKET}"""


def test_load_is_tried_twice_a_second_apart(tmp_path: Path) -> None:
    pauses = Pauses()

    error = failure(tmp_path, FAILS_TWICE, pause=pauses)

    assert error.message == "model/model.py: `load` raised OSError: attempt 2"
    assert pauses == [1.0]


def test_number_of_retries_can_be_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUM_LOAD_RETRIES_TRUSS", "2")
    pauses = Pauses()

    model = load(tmp_path, FAILS_TWICE, pause=pauses)

    assert model.instance.calls == 3  # type: ignore[attr-defined]
    assert pauses == [1.0, 1.0]


@pytest.mark.parametrize("value", ["", "many", "-3"])
def test_senseless_number_of_retries_ends_in_an_error_all_the_same(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUM_LOAD_RETRIES_TRUSS", value)

    assert "`load` raised OSError" in failure(tmp_path, FAILS_TWICE).message


def test_init_is_not_retried(tmp_path: Path) -> None:
    pauses = Pauses()

    error = failure(tmp_path, f"class Model:\n    def __init__(self): 1 / 0\n{WEBSOCKET}", pause=pauses)

    assert error.message == "model/model.py: `Model.__init__` raised ZeroDivisionError: division by zero"
    assert f'File "{tmp_path}/model/model.py", line 2, in __init__' in error.user_traceback
    assert "penstock_runner" not in error.user_traceback
    assert pauses == []


def test_definition_error_names_the_file_and_has_no_traceback(tmp_path: Path) -> None:
    error = failure(tmp_path, f"class Model:\n    def predict(self, inputs): pass\n{WEBSOCKET}")

    assert error.message.startswith("model/model.py: Truss model cannot have both")
    assert error.user_traceback == ""


def test_load_that_ends_the_program_is_an_error(tmp_path: Path) -> None:
    error = failure(tmp_path, f"class Model:\n    def load(self): raise SystemExit(0)\n{WEBSOCKET}")

    assert "`load` raised SystemExit: 0" in error.message


def test_custom_server_is_refused_with_its_reason(tmp_path: Path) -> None:
    endpoints = "predict_endpoint: /p, readiness_endpoint: /r, liveness_endpoint: /l"
    error = failure(tmp_path, "", config=f"docker_server: {{start_command: run, server_port: 8000, {endpoints}}}\n")

    assert "docker_server" in error.message


def test_data_folder_that_cannot_be_made_does_not_stop_the_load(tmp_path: Path) -> None:
    source = f"class Model:\n    def __init__(self, data_dir): pass\n{WEBSOCKET}"

    assert load(tmp_path, source, files={"data": "a file"}).websocket is not None


def test_process_has_the_variables_of_a_truss_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """truss.md section 2.6."""
    for name in ("PORT", "INFERENCE_SERVER_PORT", "HOSTNAME", "BT_MODEL_ID", "BT_MODEL_DEPLOYMENT_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("APP_HOME", "/of/another/server")
    (tmp_path / "config.yaml").write_text("environment_variables: {PORT: 9000}\n")

    prepare(tmp_path, load_config(tmp_path), model_id="echo", deployment_id="echo-1")

    names = ("APP_HOME", "PORT", "INFERENCE_SERVER_PORT", "BT_MODEL_ID", "BT_MODEL_DEPLOYMENT_ID")
    assert [os.environ[name] for name in names] == [str(tmp_path), "9000", "8080", "echo", "echo-1"]
    assert os.environ["HOSTNAME"]


def test_variables_that_are_set_already_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"PORT": "1", "INFERENCE_SERVER_PORT": "2", "HOSTNAME": "h", "BT_MODEL_ID": "m"}
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "config.yaml").write_text("")

    prepare(tmp_path, load_config(tmp_path))

    assert {name: os.environ[name] for name in own} == own


def test_crash_of_native_code_will_leave_a_stack(tmp_path: Path) -> None:
    load(tmp_path, f"class Model:\n{WEBSOCKET}")

    assert faulthandler.is_enabled()


def test_argument_that_is_not_offered_is_named(tmp_path: Path) -> None:
    error = failure(tmp_path, f"class Model:\n    def __init__(self, config, trt_llm, x=1): pass\n{WEBSOCKET}")

    assert error.message == (
        "model/model.py: `Model.__init__` asks for `trt_llm`, and nothing of that name is offered. A model may take "
        "`config`, `data_dir`, `secrets`, `environment`, `lazy_data_resolver`; give others a default value."
    )


MODEL_CACHE = "model_cache: [{repo_id: a/b, revision: main, use_volume: true, volume_folder: b}]\n"


@pytest.mark.parametrize("method", ["__init__", "load"])
def test_model_that_collects_its_data_is_loaded(method: str, tmp_path: Path) -> None:
    wait = "        self.resolver.block_until_download_complete()\n"
    source = (
        "class Model:\n    def __init__(self, **kwargs):\n        self.resolver = kwargs['lazy_data_resolver']\n"
        f"{wait if method == '__init__' else ''}    def load(self):\n        pass\n"
        f"{wait if method == 'load' else ''}{WEBSOCKET}"
    )

    assert load(tmp_path, source, config=MODEL_CACHE).websocket is not None


def test_model_that_does_not_collect_its_data_is_refused(tmp_path: Path) -> None:
    error = failure(tmp_path, f"class Model:\n    def load(self): pass\n{WEBSOCKET}", config=MODEL_CACHE)

    assert error.message.startswith("model/model.py: RuntimeError: model_cache: Data was not collected. Missing lazy_")
    assert error.user_traceback == ""


def test_methods_of_the_model_come_with_it(tmp_path: Path) -> None:
    model = load(tmp_path, "class Model:\n    def predict(self, inputs): return inputs\n")

    assert model.definition.predict == model.instance.predict  # type: ignore[attr-defined]  # user's attribute


def test_setup_environment_may_be_async_before_load(tmp_path: Path) -> None:
    source = (
        "class Model:\n    async def setup_environment(self, environment): self.seen = environment\n"
        f"    def load(self): self.seen_in_load = self.seen\n{WEBSOCKET}"
    )

    model = load(tmp_path, source, environment={"name": "x"})

    assert model.instance.seen_in_load == {"name": "x"}  # type: ignore[attr-defined]  # user's attribute


def test_setup_environment_is_not_called_without_an_environment(tmp_path: Path) -> None:
    load(tmp_path, f"class Model:\n    def setup_environment(self, environment): 1 / 0\n{WEBSOCKET}")


def test_failing_setup_environment_fails_the_load(tmp_path: Path) -> None:
    source = f"class Model:\n    def setup_environment(self, environment): 1 / 0\n{WEBSOCKET}"

    error = failure(tmp_path, source, environment={"name": "x"})

    assert error.message == "model/model.py: `setup_environment` raised ZeroDivisionError: division by zero"


def test_last_failure_of_load_is_logged_in_the_words_of_truss(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as log:
        failure(tmp_path, FAILS_TWICE)

    assert [entry["event"] for entry in log] == [
        "Executing model.load()...",
        "model_load_retried",
        "Executing model.load()...",
        "Exception while loading model",
    ]
