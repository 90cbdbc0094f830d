"""What goes wrong while the files of a deployment are fetched."""

from __future__ import annotations


class WeightsError(Exception):
    """Files that a deployment needs cannot be had; says which key of config.yaml is meant, why, and what to do."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(key, message)
        self.key = key
        """Dotted path in config.yaml, for example "weights[0].source"; empty when no key is meant."""
        self.message = message

    def __str__(self) -> str:
        return f"{self.key}: {self.message}" if self.key else self.message


class TransferError(Exception):
    """One attempt to get a file failed."""

    def __init__(
        self, message: str, *, retryable: bool, retry_after_s: float | None = None, is_stale: bool = False
    ) -> None:
        super().__init__(message)
        self.retryable = retryable
        """The same request may succeed in a moment."""
        self.retry_after_s = retry_after_s
        """What the server asks to wait; None when it says nothing."""
        self.is_stale = is_stale
        """What was fetched so far is of no use."""


class Stopped(Exception):
    """The transfer was given up, because another one failed or the process ends."""
