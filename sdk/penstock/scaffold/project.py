"""The files that a new model begins with. Pure."""

from __future__ import annotations

import json
from enum import Enum

from penstock.scaffold.model_files import PREDICT_MODEL, WEBSOCKET_MODEL


class Kind(Enum):
    """How clients call the new model."""

    WEBSOCKET = "websocket"
    PREDICT = "predict"


_CONFIG = """\
# How this model is served. Every key: docs/config_yaml.md. A wrong value is reported with its line.
model_name: {name}
{kind}
# Packages that the model imports. They are installed once, into an environment of their own.
requirements: []
#  - numpy>=2

# What the model finds in os.environ.
environment_variables: {{}}

# Secrets that the model may read, as `kwargs["secrets"]["NAME"]`. Their values come from the environment variable
# TRUSS_SECRET_NAME, never from this file.
secrets: {{}}

penstock:
  autoscaling:
    max_concurrency: {slots}  # streams or requests that one replica serves at the same time
    min_replica: 1
    max_replica: 1
"""

_WEBSOCKET_KIND = """
runtime:
  transport:
    kind: websocket
"""

_PREDICT_KIND = """
runtime:
  predict_concurrency: 8  # calls of `predict` that may run at the same time

model_metadata:
  example_model_input: {"text": "hello"}
"""

_IGNORE = """\
# What `penstock push` leaves out, written as in a .gitignore. .git, .venv and __pycache__ are left out anyway.
*.log
.env
"""

_FOLDER_NOTES = {
    "packages": "Python packages of your own: what lies here can be imported by the model.\n",
    "data": 'Files that the model reads: it finds this folder as `kwargs["data_dir"]`.\n',
}


def project_files(name: str, kind: Kind) -> dict[str, str]:
    """Returns the files of a new model: paths relative to its folder, and their contents.

    Args:
        name: `model_name` of the model.
        kind: What its clients call it by.
    """
    is_websocket = kind is Kind.WEBSOCKET
    config = _CONFIG.format(
        name=_yaml_text(name),
        kind=_WEBSOCKET_KIND if is_websocket else _PREDICT_KIND,
        slots=32 if is_websocket else 8,
    )
    model = WEBSOCKET_MODEL if is_websocket else PREDICT_MODEL
    return {
        "config.yaml": config,
        "model/__init__.py": "",
        "model/model.py": model.replace("NAME", name),
        ".truss_ignore": _IGNORE,
        **{f"{folder}/README.md": note for folder, note in _FOLDER_NOTES.items()},
    }


def _yaml_text(text: str) -> str:
    """Writes a text so that YAML reads it back as one, numbers and `yes` included."""
    return text if text[0].isalpha() and text.lower() not in _YAML_WORDS else json.dumps(text)


_YAML_WORDS = {"yes", "no", "on", "off", "true", "false", "null", "y", "n"}
