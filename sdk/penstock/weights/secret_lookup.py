"""Secrets that open sources, looked up where a model's own secrets are (truss.md section 2.6)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

ENVIRONMENT_PREFIX = "TRUSS_SECRET_"
SECRETS_FOLDER = Path("/secrets")


class SecretLookup(Mapping[str, str]):
    """Looks in the environment, then in the secrets folder, then at the default in config.yaml.

    Missing and empty are the same. Unlike a model's secrets, those of sources need not be declared.
    """

    def __init__(
        self, defaults: Mapping[str, str | None], *, env: Mapping[str, str], folder: Path = SECRETS_FOLDER
    ) -> None:
        self._defaults = defaults
        self._env = env
        self._folder = folder

    def __getitem__(self, name: str) -> str:
        value = self._env.get(ENVIRONMENT_PREFIX + name) or self._from_file(name) or self._defaults.get(name)
        if not value or not value.strip():
            raise KeyError(name)
        return value.strip()

    def __iter__(self) -> Iterator[str]:
        raise NotImplementedError("Secrets are looked up one by one and cannot be iterated.")

    def __len__(self) -> int:
        return len(self._defaults)

    def __repr__(self) -> str:
        return f"<SecretLookup: {len(self._defaults)} defaults>"

    def _from_file(self, name: str) -> str | None:
        if "/" in name or name in ("", ".", ".."):
            return None
        try:
            return (self._folder / name).read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            return None
