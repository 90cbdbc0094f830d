"""Why a model cannot be served."""

from __future__ import annotations


class ModelDefinitionError(TypeError):
    """The model class does not keep to the contract of Truss; the text is for its author."""


class SecretNotFound(KeyError):
    """The model asked for a secret that is not declared in config.yaml or has no value."""

    def __str__(self) -> str:
        # KeyError would show the repr of the text.
        return str(self.args[0]) if self.args else ""


class ModelLoadError(Exception):
    """The model cannot be loaded.

    Attributes:
        message: What went wrong, in one or few lines, for the model's author.
        user_traceback: The traceback with the author's frames only; empty when no code of theirs failed.
    """

    def __init__(self, message: str, user_traceback: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.user_traceback = user_traceback

    def report(self) -> str:
        """Returns message and traceback as one text."""
        return f"{self.message}\n{self.user_traceback}".rstrip() if self.user_traceback else self.message


class HotReloadError(Exception):
    """New code of a model cannot take the place of the old one, which goes on serving.

    Attributes:
        message: What went wrong, in one or few lines: "SyntaxError: invalid syntax (model/model.py, line 3)".
        user_traceback: As in ModelLoadError.
        needs_restart: Whether the code may be fine, but only a new process can run it.
    """

    def __init__(self, message: str, user_traceback: str = "", *, needs_restart: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.user_traceback = user_traceback
        self.needs_restart = needs_restart

    def report(self) -> str:
        """Returns message and traceback as one text."""
        return f"{self.message}\n{self.user_traceback}".rstrip() if self.user_traceback else self.message
