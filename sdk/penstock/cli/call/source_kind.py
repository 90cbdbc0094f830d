"""What a model is called by, read from its code without running it: for one that no replica has loaded yet."""

from __future__ import annotations

import ast
from pathlib import Path

from penstock.cli.call.target import Kind
from penstock.truss import ConfigError, load_config

_ENDPOINTS = ("websocket", "predict", "chat_completions", "completions", "embeddings", "messages", "responses")
"""Methods by which a model can be called, as replicas tell them."""


def kind_of_source(directory: Path) -> Kind | None:
    """Returns how the model is called; None when that cannot be told. Reads files of this machine."""
    endpoints = endpoints_of_source(directory)
    if endpoints:
        return "websocket" if "websocket" in endpoints else "predict"
    # The code may be in the middle of an edit, or inherit everything.
    try:
        return "websocket" if load_config(directory).transport.kind == "websocket" else None
    except ConfigError:
        return None


def endpoints_of_source(directory: Path) -> tuple[str, ...]:
    """Returns the methods that the model's class defines by itself; empty when that cannot be told."""
    try:
        config = load_config(directory)
        file = directory / config.model_module_dir / config.model_class_filename
        tree = ast.parse(file.read_bytes())
    except (ConfigError, OSError, SyntaxError, ValueError, RecursionError):
        return ()
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == config.model_class_name:
            names = {item.name for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)}
            return tuple(name for name in _ENDPOINTS if name in names)
    return ()
