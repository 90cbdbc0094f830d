"""What chains raise themselves. The classes and their bases are those that users of Truss Chains catch."""

from __future__ import annotations


class ChainsUsageError(TypeError):
    """A chainlet class, or a call of this package, breaks a rule; the text lists what to change."""


class MissingDependencyError(TypeError):
    """A chainlet, or a secret that calls need, is not there."""


class ChainsRuntimeError(Exception):
    """Something was used where it cannot work: a chainlet made by hand, a marker outside of `__init__`, no platform."""


class ChainsDeploymentError(Exception):
    """The platform did not take the chain, or a chainlet did not become ready."""
