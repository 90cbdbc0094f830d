"""The arguments of a call by name, with Python's complaints when they do not fit. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from penstock.chains.description import EndpointDescription


class ArgumentNames:
    """Names of the arguments of one endpoint. Every one of them is required, whatever its default in the callee.

    Args:
        chainlet: class name of the callee, for messages.
        endpoint: that is called.
    """

    def __init__(self, chainlet: str, endpoint: EndpointDescription) -> None:
        self._function = f"{chainlet}.{endpoint.name}()"
        self._names = tuple(argument.name for argument in endpoint.arguments)
        self._set = frozenset(self._names)

    def bound(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns the arguments by name.

        Raises:
            TypeError: there is one too many, one too few, or one twice.
        """
        values = kwargs
        if args:
            if len(args) > len(self._names):
                takes, given = len(self._names) + 1, len(args) + 1
                raise TypeError(
                    f"{self._function} takes {takes} positional argument{'s' * (takes > 1)} but {given} were given"
                )
            positional = dict(zip(self._names, args, strict=False))
            for name in kwargs:
                if name in positional:
                    raise TypeError(f"{self._function} got multiple values for argument '{name}'")
            values = {**positional, **kwargs}
        if values.keys() != self._set:
            self._complain(values)
        return values

    def _complain(self, values: Mapping[str, Any]) -> None:
        for name in values:
            if name not in self._set:
                raise TypeError(f"{self._function} got an unexpected keyword argument '{name}'")
        missing = [f"'{name}'" for name in self._names if name not in values]
        listed = missing[0] if len(missing) == 1 else " and ".join([", ".join(missing[:-1]), missing[-1]])
        if len(missing) > 2:
            listed = f"{', '.join(missing[:-1])}, and {missing[-1]}"
        raise TypeError(
            f"{self._function} missing {len(missing)} required positional argument{'s' * (len(missing) > 1)}: {listed}"
        )
