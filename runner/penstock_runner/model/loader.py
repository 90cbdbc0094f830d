"""Makes a model ready to serve: import, `__init__`, checks, `load()` (truss.md section 2.1). Runs the user's code.

Call `prepare` on the main thread and `load_model` on a thread of its own: it blocks for as long as the model needs.
"""

from __future__ import annotations

import asyncio
import faulthandler
import inspect
import os
import socket
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import structlog

from penstock.process_env import REPLICA_GPUS_VARIABLE, model_variables
from penstock.truss import TrussConfig
from penstock_runner.model.definition import check_model
from penstock_runner.model.errors import ModelDefinitionError, ModelLoadError
from penstock_runner.model.importing import describe_exception, extend_path, import_model_class
from penstock_runner.model.lazy_data import LazyDataResolver, must_be_collected
from penstock_runner.model.loaded import LoadedModel, format_user_traceback
from penstock_runner.model.secrets import Secrets

RETRIES_VARIABLE = "NUM_LOAD_RETRIES_TRUSS"
RETRIES_DEFAULT = 1
RETRIES_MAX = 100
RETRY_PAUSE_S = 1.0
SERVER_PORT = "8080"

_T = TypeVar("_T")

_log = structlog.get_logger("runner")


def prepare(directory: Path, config: TrussConfig, *, model_id: str = "", deployment_id: str = "") -> None:
    """Gives this process the working directory, environment variables and import path of a Truss server.

    Args:
        model_id: What the model finds as BT_MODEL_ID.
        deployment_id: What it finds as BT_MODEL_DEPLOYMENT_ID.

    Raises:
        ModelLoadError: A folder that config.yaml names does not exist.
    """
    # Native code that crashes says nothing by itself: this leaves the stack of every thread in the log.
    if not faulthandler.is_enabled():
        faulthandler.enable(sys.__stderr__ or 2)
    _set_server_variables(directory, model_id, deployment_id)
    # Again, although the controller has set them before the start: a runner that was started by hand needs them too.
    gpus_assigned = bool(os.environ.get(REPLICA_GPUS_VARIABLE))
    os.environ.update(model_variables(config.environment_variables, gpus_assigned=gpus_assigned))
    os.chdir(directory)
    extend_path(directory, config)


def _set_server_variables(directory: Path, model_id: str, deployment_id: str) -> None:
    """Sets what models find in the environment of any Truss server (truss.md section 2.6)."""
    os.environ["APP_HOME"] = str(directory)
    for name, value in (("BT_MODEL_ID", model_id), ("BT_MODEL_DEPLOYMENT_ID", deployment_id)):
        if value:
            os.environ[name] = value
    # Nothing of ours listens there: the edge speaks to the runner by the trunk. Models only read the number.
    os.environ.setdefault("PORT", SERVER_PORT)
    os.environ.setdefault("INFERENCE_SERVER_PORT", SERVER_PORT)
    os.environ.setdefault("HOSTNAME", socket.gethostname())


def load_model(
    directory: Path,
    config: TrussConfig,
    *,
    environment: Mapping[str, Any] | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> LoadedModel:
    """Returns the model, loaded. `directory` is absolute and `prepare` was called for it.

    Args:
        environment: What the model gets as `environment`, for example {"name": "production"}.

    Raises:
        ModelLoadError: It cannot be loaded; nothing else is raised for anything that the user's code does.
    """
    if config.has_docker_server:
        raise ModelLoadError(
            "config.yaml: docker_server: models that bring their own server cannot be served yet; "
            "give the model a class with a `websocket` method."
        )
    model_class, model_file = import_model_class(directory, config)
    shown = model_file.relative_to(directory)
    resolver = LazyDataResolver(is_required=must_be_collected(config))
    offered: dict[str, object] = {
        "config": config.raw,
        "data_dir": Path(config.data_dir),
        "secrets": Secrets(config.secrets),
        "environment": None if environment is None else dict(environment),
        "lazy_data_resolver": resolver,
    }
    arguments = _init_arguments(model_class, offered, shown)
    if "data_dir" in arguments:
        _make_data_dir(config)
    model = _user_step(lambda: model_class(**arguments), f"`{model_class.__name__}.__init__`", model_file)
    try:
        definition = check_model(model)
    except ModelDefinitionError as exc:
        raise ModelLoadError(f"{shown}: {exc}") from None
    if environment is not None:
        _setup_environment(model, environment, model_file)
    _call_load(model, model_file, pause)
    try:
        resolver.raise_if_not_collected()
    except RuntimeError as exc:
        raise ModelLoadError(f"{shown}: RuntimeError: {exc}") from None
    return LoadedModel(instance=model, websocket=definition.websocket, model_file=model_file, definition=definition)


def _init_arguments(model_class: type, offered: Mapping[str, object], shown: Path) -> dict[str, object]:
    try:
        parameters = list(inspect.signature(model_class).parameters.values())
    except (TypeError, ValueError):
        return {}
    unknown = [
        parameter.name
        for parameter in parameters
        if parameter.name not in offered
        and parameter.default is inspect.Parameter.empty
        and parameter.kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    ]
    if unknown:
        raise ModelLoadError(
            f"{shown}: `{model_class.__name__}.__init__` asks for {_quoted(unknown)}, and nothing of that name is "
            f"offered. A model may take {_quoted(offered)}; give others a default value."
        )
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        return dict(offered)
    return {parameter.name: offered[parameter.name] for parameter in parameters if parameter.name in offered}


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _make_data_dir(config: TrussConfig) -> None:
    # Only for a model that asks for it: the folder is in a directory of the user's.
    try:
        Path(config.data_dir).mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        _log.warning("data_dir_not_made", data_dir=config.data_dir, cause=exc.strerror)


def _setup_environment(model: object, environment: Mapping[str, Any], model_file: Path) -> None:
    method = getattr(model, "setup_environment", None)
    if method is None:
        return

    def call() -> None:
        result = method(dict(environment))
        if inspect.iscoroutine(result):
            asyncio.run(result)

    _log.info("Executing model.setup_environment...", environment=environment.get("name"))
    _user_step(call, "`setup_environment`", model_file)


def _call_load(model: object, model_file: Path, pause: Callable[[float], None]) -> None:
    load = getattr(model, "load", None)
    if load is None:
        return
    attempts = _retries() + 1
    for attempt in range(1, attempts + 1):
        _log.info("Executing model.load()...")
        started = time.monotonic()
        try:
            _user_step(load, "`load`", model_file)
        except ModelLoadError as exc:
            if attempt == attempts:
                _log.error("Exception while loading model")
                raise
            _log.warning("model_load_retried", attempt=attempt, attempts=attempts, exception=exc.user_traceback)
            pause(RETRY_PAUSE_S)
        else:
            _log.info("Completed model.load() execution in %d ms", round((time.monotonic() - started) * 1000))
            return


def _retries() -> int:
    try:
        return min(max(int(os.environ.get(RETRIES_VARIABLE, RETRIES_DEFAULT)), 0), RETRIES_MAX)
    except ValueError:
        return RETRIES_DEFAULT


def _user_step(call: Callable[[], _T], what: str, model_file: Path) -> _T:
    try:
        return call()
    except BaseException as exc:
        # On this thread nothing but the user's code can raise SystemExit or KeyboardInterrupt.
        message = f"{model_file.parent.name}/{model_file.name}: {what} raised {describe_exception(exc)}"
        raise ModelLoadError(message, format_user_traceback(exc, model_file)) from exc
