"""A config.yaml as text again."""

from __future__ import annotations

import copy

import yaml

from penstock.truss.config import TrussConfig


def dump_config(config: TrussConfig) -> str:
    """Returns YAML text of the file that `config` was read from: every key, unknown ones included; comments get lost.

    `runtime.transport.kind` and the older `runtime.is_websocket_endpoint` are written in agreement (truss.md section
    1.4), so that readers of either see the same.
    """
    data = copy.deepcopy(config.raw)
    is_websocket = config.transport.kind == "websocket"
    runtime = data.get("runtime") or {}
    if is_websocket:
        runtime["transport"] = {**(runtime.get("transport") or {}), "kind": "websocket"}
        data["runtime"] = runtime
    if is_websocket or "is_websocket_endpoint" in runtime:
        runtime["is_websocket_endpoint"] = is_websocket
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


class _Dumper(yaml.SafeDumper):
    """SafeDumper that writes texts of several lines as blocks, as their authors do."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    # PyYAML writes these line breaks as they are, and reads them as spaces or \n; only between quotes they are escaped.
    if any(char in text for char in "\x85\u2028\u2029"):
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
