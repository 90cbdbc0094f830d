"""Rules for `__init__`: dependencies, and the context as the last argument."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from typing import Any, Union, get_args, get_origin

from penstock.chains.abc_chainlet import ABCChainlet, EntityType
from penstock.chains.context import DeploymentContext, ServiceDescriptorUrls
from penstock.chains.description import ChainletDescription, Dependency, EndpointKind
from penstock.chains.markers import INIT_EXAMPLE, ContextMarker, DependencyMarker
from penstock.chains.names import CONTEXT_ARGUMENT, SELF_ARGUMENT
from penstock.chains.problems import Place, ProblemKind, Problems
from penstock.chains.validation_types import string_annotation

_HINT = f"Example of correct `__init__` with dependencies and context:\n{INIT_EXAMPLE}"


class InitCheck:
    """Looks at the `__init__` of one class."""

    def __init__(
        self,
        chainlet: type[ABCChainlet],
        place: Place,
        problems: Problems,
        known: Mapping[type, ChainletDescription],
    ) -> None:
        self._chainlet = chainlet
        self._place = place
        self._problems = problems
        self._known = known
        self.dependencies: dict[str, Dependency] = {}
        """By argument, in order."""
        self.has_context = False

    def check(self, init: Callable[..., Any]) -> None:
        """Notes what is wrong, and finds dependencies and context."""
        parameters = list(inspect.signature(init).parameters.values())
        if not parameters or parameters[0].name != SELF_ARGUMENT:
            got = f"`{parameters[0].name}`" if parameters else "no arguments"
            self._add(f"Methods must have first argument `{SELF_ARGUMENT}`, got {got}.")
        parameters = self._without_context(parameters[1:])
        if not self._chainlet.supports_dependencies:
            if parameters:
                self._add(
                    f"The only supported argument to `__init__` for {self._chainlet.entity_type}s is the optional "
                    "context argument."
                )
            return
        used: set[type] = set()
        for parameter in parameters:
            self._check_dependency(parameter, used)

    def _without_context(self, parameters: list[inspect.Parameter]) -> list[inspect.Parameter]:
        """Checks the context argument and returns the others."""
        for parameter in parameters[:-1]:
            if parameter.name == CONTEXT_ARGUMENT:
                self._add(
                    f"The init argument name `{CONTEXT_ARGUMENT}` is reserved for the optional context argument, which "
                    "must be trailing if used.",
                    hint=_HINT,
                )
        if not parameters:
            return parameters
        last = parameters[-1]
        if last.name != CONTEXT_ARGUMENT:
            if isinstance(last.default, ContextMarker):
                self._add_no_context(parameters)
            return parameters
        is_marked = isinstance(last.default, ContextMarker)
        if not is_marked or last.annotation not in (DeploymentContext, inspect.Parameter.empty):
            self._add_no_context(parameters)
        if not is_marked:
            self._add(f"Incorrect default value `{last.default}` for `{CONTEXT_ARGUMENT}` argument.", hint=_HINT)
        self.has_context = True
        return parameters[:-1]

    def _add_no_context(self, parameters: list[inspect.Parameter]) -> None:
        written = ", ".join(str(parameter) for parameter in parameters)
        self._add(
            f"If `{self._chainlet.entity_type}` uses context for initialization, it must have `{CONTEXT_ARGUMENT}` "
            f"argument of type `{DeploymentContext}` as the last argument.\nGot arguments: `[{written}]`.",
            hint=_HINT,
        )

    def _check_dependency(self, parameter: inspect.Parameter, used: set[type]) -> None:
        marker = parameter.default
        if not isinstance(marker, DependencyMarker):
            self._add(
                f"Any arguments of a Chainlet's __init__ (besides `{CONTEXT_ARGUMENT}`) must have dependency "
                f"Chainlets with default values from `chains.depends`-directive. Got `{parameter}`.",
                hint=_HINT,
            )
            return
        target = marker.chainlet
        described = self._known.get(target)
        if described is None or described.is_model:
            self._add(f"`chains.depends` must be used with a Chainlet class as argument, got {target} instead.")
            return
        self._check_annotation(parameter, target)
        if target in used:
            self._add(
                "The same Chainlet class cannot be used multiple times for different arguments. Got previously used "
                f"`{target.name}` for `{parameter.name}`."
            )
            return
        used.add(target)
        if described.endpoint is not None and described.endpoint.kind is EndpointKind.WEBSOCKET:
            self._add(
                f"The dependency chainlet `{target.name}` for `{parameter.name}` uses a websocket. But websockets can "
                "only be used in the entrypoint, not in 'inner' chainlets."
            )
        self.dependencies[parameter.name] = Dependency(parameter.name, target, marker.options)

    def _check_annotation(self, parameter: inspect.Parameter, target: type[ABCChainlet]) -> None:
        annotation = parameter.annotation
        if annotation is inspect.Parameter.empty:
            return
        is_truss = target.entity_type is EntityType.TRUSS_CHAINLET
        if isinstance(annotation, str):
            if not is_truss:
                self._add(string_annotation(annotation, parameter.name))
        elif not (_accepts(annotation, target) or (is_truss and not _is_no_handle(annotation))):
            self._add(
                f"The type annotation for `{parameter.name}` must be a class/subclass of the Chainlet type specified "
                f"by `chains.depends` or a compatible typing.Protocol. Got `{annotation}`."
            )

    def _add(self, text: str, *, hint: str = "") -> None:
        self._problems.add(text, ProblemKind.TYPE_ERROR, self._place, hint=hint)


def _is_no_handle(annotation: Any) -> bool:
    """Whether an annotation takes something else for what stands for a TrussChainlet, a TrussHandle."""
    return inspect.isclass(annotation) and issubclass(annotation, (ABCChainlet, ServiceDescriptorUrls))


def _accepts(annotation: Any, target: type) -> bool:
    """Whether an argument with this annotation takes objects of the class. Methods of protocols are not compared."""
    if get_origin(annotation) in (Union, types.UnionType):
        return any(_accepts(option, target) for option in get_args(annotation))
    if getattr(annotation, "_is_protocol", False):
        return True
    return inspect.isclass(annotation) and issubclass(target, annotation)
