"""What a model is called by, read from its code without running it: for one that no replica has loaded yet."""

from __future__ import annotations

import ast
from pathlib import Path

from penstock.cli.call.target import Kind
from penstock.truss import ConfigError, load_config


def kind_of_source(directory: Path) -> Kind | None:
    """Returns what the model's class defines; None when that cannot be told. Reads files of this machine."""
    try:
        config = load_config(directory)
        file = directory / config.model_module_dir / config.model_class_filename
        tree = ast.parse(file.read_bytes())
    except (ConfigError, OSError, SyntaxError, ValueError, RecursionError):
        return None
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == config.model_class_name:
            names = {item.name for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)}
            if "websocket" in names:
                return "websocket"
            return "predict" if "predict" in names else None
    return None
