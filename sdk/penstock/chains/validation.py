"""Rules for chainlet classes. A class is looked at once, when it is defined."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

from penstock.chains.abc_chainlet import ABCChainlet, EntityType
from penstock.chains.description import ChainletDescription, EndpointDescription, EndpointKind
from penstock.chains.names import HEALTH_CHECK_METHOD, REMOTE_CONFIG_VARIABLE, SELF_ARGUMENT
from penstock.chains.problems import Place, Problem, ProblemKind, Problems
from penstock.chains.remote_config import RemoteConfig
from penstock.chains.truss_config import WebsocketOptions
from penstock.chains.validation_endpoint import EndpointCheck
from penstock.chains.validation_init import InitCheck

DISPLAY_NAME = re.compile("^[a-zA-Z0-9_-]+$")
DISPLAY_NAME_MAX = 60
"""Characters of a chainlet's name that the controller takes."""


class ChainletCheck:
    """Looks at one class."""

    def __init__(self, chainlet: type[ABCChainlet], known: Mapping[type, ChainletDescription]) -> None:
        self._chainlet = chainlet
        self._known = known
        self._problems = Problems()
        self._class_place: Place | None = None

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong, in the order in which it was found."""
        return tuple(self._problems.found)

    def describe(self) -> ChainletDescription:
        """Checks the class and returns what it is; of a broken one as much as could be made out."""
        chainlet = self._chainlet
        self._check_remote_config()
        self._check_display_name()
        init = InitCheck(chainlet, self._place_of("__init__", chainlet.__init__), self._problems, self._known)
        endpoint = None
        if chainlet.entity_type is EntityType.TRUSS_CHAINLET:
            self._check_truss_dir()
        else:
            if _is_users(chainlet.__init__):
                init.check(chainlet.__init__)
            endpoint = self._endpoint()
            if endpoint is not None:
                self._check_transport(endpoint)
        return ChainletDescription(
            chainlet=chainlet,
            display_name=str(chainlet.display_name),
            endpoint=endpoint,
            dependencies=init.dependencies,
            has_context=init.has_context,
            has_health_check=endpoint is not None and self._has_health_check(),
            is_model=chainlet.entity_type is EntityType.MODEL,
            is_truss=chainlet.entity_type is EntityType.TRUSS_CHAINLET,
        )

    def _check_remote_config(self) -> None:
        if not isinstance(self._chainlet.remote_config, RemoteConfig):
            self._problems.add(
                f"{self._chainlet.entity_type}s must have a `{REMOTE_CONFIG_VARIABLE}` class variable of type "
                f"`{RemoteConfig}`. Got `{type(self._chainlet.remote_config)}`.",
                ProblemKind.TYPE_ERROR,
                self._place,
            )

    def _check_display_name(self) -> None:
        name = str(self._chainlet.display_name)
        if not DISPLAY_NAME.match(name):
            text = f"Chainlet display name `{name}` must match `{DISPLAY_NAME.pattern}` regex."
        elif len(name) > DISPLAY_NAME_MAX:
            text = f"Chainlet display name `{name}` has {len(name)} characters, at most {DISPLAY_NAME_MAX} are allowed."
        else:
            return
        self._problems.add(text, ProblemKind.INVALID_CONFIG_ERROR, self._place)

    def _check_truss_dir(self) -> None:
        """The directory itself is looked at when the chain is written: a runner that imports the file has none."""
        name = self._chainlet.__name__
        if not hasattr(self._chainlet, "truss_dir"):
            self._problems.add(
                f"`TrussChainlet` subclass `{name}` must declare a `truss_dir` class attribute pointing at the wrapped "
                "Truss directory.",
                ProblemKind.MISSING_API_ERROR,
                self._place,
            )
        elif not isinstance(self._chainlet.truss_dir, str | os.PathLike):
            self._problems.add(
                "`TrussChainlet.truss_dir` must be a str or pathlib.Path, got "
                f"`{type(self._chainlet.truss_dir).__name__}`.",
                ProblemKind.TYPE_ERROR,
                self._place,
            )

    def _endpoint(self) -> EndpointDescription | None:
        chainlet = self._chainlet
        name = str(chainlet.endpoint_method_name)
        method = inspect.getattr_static(chainlet, name, None)
        if method is None:
            self._problems.add(
                f"{chainlet.entity_type}s must have a `{name}` method.", ProblemKind.MISSING_API_ERROR, self._place
            )
            return None
        place = self._place_of(name, method)
        if isinstance(method, staticmethod):
            method = method.__func__
        if not inspect.isroutine(method) or isinstance(method, classmethod):
            self._problems.add("Endpoints must be a method.", ProblemKind.TYPE_ERROR, place)
            return None
        may_converse = chainlet.entity_type is EntityType.CHAINLET
        return EndpointCheck(name, method, place, self._problems, may_converse=may_converse).describe()

    def _check_transport(self, endpoint: EndpointDescription) -> None:
        config = self._chainlet.remote_config
        transport = config.options.transport if isinstance(config, RemoteConfig) else None
        if transport is None:
            return
        needs = {
            EndpointKind.WEBSOCKET: "For chainlet endpoints that serve websockets",
            EndpointKind.CONVERSATION: "For chainlet endpoints that take and return streams",
        }.get(endpoint.kind)
        is_websocket = isinstance(transport, WebsocketOptions)
        if needs is None and is_websocket:
            text = "WebsocketOptions can only be used for websocket endpoints."
        elif needs is not None and not is_websocket:
            text = f"{needs}, `options.transport` must be `WebsocketOptions`, got `{type(transport).__name__}`."
        else:
            return
        self._problems.add(text, ProblemKind.INVALID_CONFIG_ERROR, self._place)

    def _has_health_check(self) -> bool:
        """Whether there is an `is_healthy`; it is checked."""
        method = inspect.getattr_static(self._chainlet, HEALTH_CHECK_METHOD, None)
        if method is None:
            return False
        name, problems = HEALTH_CHECK_METHOD, self._problems
        if isinstance(method, staticmethod):
            method = method.__func__
        if not inspect.isroutine(method) or isinstance(method, classmethod):
            problems.add(f"`{name}` must be a method.", ProblemKind.TYPE_ERROR, self._place)
            return True
        place = self._place_of(name, method)
        signature = inspect.signature(method)
        parameters = list(signature.parameters)
        if not parameters or parameters[0] != SELF_ARGUMENT:
            got = f"`{parameters[0]}` as first argument" if parameters else "function with no arguments"
            text = f"`{name}` must be a method, i.e. with `{SELF_ARGUMENT}` as first argument. Got {got}."
            problems.add(text, ProblemKind.TYPE_ERROR, place)
        if len(parameters) > 1:
            text = f"`{name}` must have only one argument: `{SELF_ARGUMENT}`."
            problems.add(text, ProblemKind.TYPE_ERROR, place)
        result = signature.return_annotation
        if result is inspect.Signature.empty:
            text = f"Return value of health check must be type annotated. Got:\n\t{name}{signature} -> !MISSING!"
            problems.add(text, ProblemKind.IO_TYPE_ERROR, place)
        elif result is not bool:
            text = f"Return value of health check must be a boolean. Got:\n\t{name}{signature} -> {result}"
            problems.add(text, ProblemKind.IO_TYPE_ERROR, place)
        if inspect.isgeneratorfunction(method) or inspect.isasyncgenfunction(method):
            problems.add(f"`{name}` must not have `yield` statements.", ProblemKind.TYPE_ERROR, place)
        return True

    @property
    def _place(self) -> Place:
        """Where the class is. Finding its line reads the file, so nobody asks without a problem."""
        if self._class_place is None:
            self._class_place = class_place(self._chainlet)
        return self._class_place

    def _place_of(self, name: str, method: object) -> Place:
        function = _function(method)
        if function is None:
            return self._place.in_method(name)
        code = function.__code__
        return Place(os.path.abspath(code.co_filename), code.co_firstlineno, self._chainlet.__name__, name)


def class_place(chainlet: type) -> Place:
    """Returns the file and line of a class; of one that stands in no file, the name of its module."""
    try:
        path = os.path.abspath(inspect.getfile(chainlet))
    except (TypeError, OSError):
        return Place(chainlet.__module__, None, chainlet.__name__)
    try:
        line = inspect.getsourcelines(chainlet)[1]
    except (TypeError, OSError, IndentationError, SyntaxError):
        line = None
    return Place(path, line, chainlet.__name__)


def _function(method: object) -> FunctionType | None:
    if isinstance(method, staticmethod | classmethod):
        method = method.__func__
    unwrapped: Callable[..., Any] | object = inspect.unwrap(method) if callable(method) else method
    return unwrapped if isinstance(unwrapped, FunctionType) else None


def _is_users(init: object) -> bool:
    """Whether an `__init__` is the user's: not ours, nor that of typing.Protocol or object."""
    function = _function(init)
    return function is not None and function.__module__ not in (ABCChainlet.__module__, "typing")
