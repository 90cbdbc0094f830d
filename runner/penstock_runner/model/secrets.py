"""Secrets as a model sees them: a mapping that looks each one up when it is asked for (truss.md section 2.6)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from penstock_runner.model.errors import SecretNotFound

ENVIRONMENT_PREFIX = "TRUSS_SECRET_"
SECRETS_FOLDER = Path("/secrets")


class Secrets(Mapping[str, str]):
    """Looks in the environment, then in the secrets folder, then at the default in config.yaml; anew at each access.

    Only secrets that config.yaml declares can be read. Missing and empty are the same.
    """

    def __init__(
        self,
        declared: Mapping[str, str | None],
        *,
        environment: Mapping[str, str] = os.environ,
        folder: Path = SECRETS_FOLDER,
    ) -> None:
        self._declared = declared
        self._environment = environment
        self._folder = folder

    def __getitem__(self, name: str) -> str:
        if name not in self._declared:
            raise SecretNotFound(
                f"Secret '{name}' is not declared. Add it under `secrets` in config.yaml, for example `{name}: null`."
            )
        value = self._environment.get(ENVIRONMENT_PREFIX + name) or self._from_file(name) or self._declared[name]
        if not value:
            raise SecretNotFound(
                f"Secret '{name}' has no value. Set the environment variable {ENVIRONMENT_PREFIX}{name} "
                f"or write it to {self._folder / name}."
            )
        return value

    def __iter__(self) -> Iterator[str]:
        raise NotImplementedError("Secrets are looked up one by one and cannot be iterated.")

    def __len__(self) -> int:
        return len(self._declared)

    def __contains__(self, name: object) -> bool:
        try:
            return isinstance(name, str) and bool(self[name])
        except SecretNotFound:
            return False

    def __repr__(self) -> str:
        # Mapping's own would be fine, a dict's would show values in a traceback or a log.
        return f"<Secrets: {len(self._declared)} declared>"

    def _from_file(self, name: str) -> str | None:
        if "/" in name or name in ("", ".", ".."):
            return None
        try:
            return (self._folder / name).read_text()
        except (OSError, UnicodeDecodeError):
            return None
