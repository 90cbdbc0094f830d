"""`external_package_dirs` that lie outside of a Truss directory: they are packed below EXTERNAL_FOLDER, and the packed
config.yaml names them there.

Only the entries themselves are replaced in the text: comments, order and unknown keys of config.yaml stay.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import yaml

from penstock.packing.limits import PackError

EXTERNAL_FOLDER = ".penstock_external"
KEY = "external_package_dirs"


def outside(directory: Path, names: tuple[str, ...]) -> dict[str, Path]:
    """Returns those of `names` (relative to `directory`) that lie outside, with the folders they mean.

    Raises:
        PackError: One is no folder.
    """
    root = directory.resolve()
    found: dict[str, Path] = {}
    for name in names:
        folder = (root / name).resolve()
        if not folder.is_dir():
            raise PackError(f"config.yaml: {KEY}: there is no folder {name} (that is {folder})")
        if not folder.is_relative_to(root):
            found[name] = folder
    return found


def packed_names(folders: Mapping[str, Path]) -> dict[str, str]:
    """Returns where each of `folders` is in the archive. The same names give the same places on any machine."""
    return {
        name: str(PurePosixPath(EXTERNAL_FOLDER) / f"{index}-{PurePosixPath(name).name.lstrip('.') or 'folder'}")
        for index, name in enumerate(folders)
    }


def rewritten(config: str, names: Mapping[str, str]) -> str:
    """Returns config.yaml with each entry of KEY that is a key of `names` replaced by its value.

    Raises:
        PackError: An entry is a YAML alias, so that a replacement would change another place too.
    """
    if not names:
        return config
    uses: dict[int, int] = {}
    root = yaml.compose(config, Loader=yaml.SafeLoader)
    _count(root, uses)
    entries = [node for node in _entries(root) if node.value in names]
    for node in entries:
        if uses[id(node)] > 1:
            raise PackError(f"config.yaml:{node.start_mark.line + 1}: {KEY}: write {node.value!r} without an alias")
    for node in sorted(entries, key=lambda node: -int(node.start_mark.index)):
        # JSON's text in quotes is YAML's, too.
        replacement = json.dumps(names[node.value])
        config = config[: node.start_mark.index] + replacement + config[node.end_mark.index :]
    return config


def _entries(root: yaml.Node | None) -> list[yaml.ScalarNode]:
    if not isinstance(root, yaml.MappingNode):
        return []
    found: list[yaml.ScalarNode] = []
    for key, value in root.value:
        if isinstance(key, yaml.ScalarNode) and key.value == KEY and isinstance(value, yaml.SequenceNode):
            # The last one counts, as everywhere in YAML.
            found = [item for item in value.value if isinstance(item, yaml.ScalarNode)]
    return found


def _count(root: yaml.Node | None, uses: dict[int, int]) -> None:
    """Counts how often each node stands in the document; an alias leads to a node that was met before."""
    waiting = [] if root is None else [root]
    while waiting:
        node = waiting.pop()
        uses[id(node)] = uses.get(id(node), 0) + 1
        if uses[id(node)] > 1:
            continue
        if isinstance(node, yaml.SequenceNode):
            waiting.extend(node.value)
        elif isinstance(node, yaml.MappingNode):
            waiting.extend(part for pair in node.value for part in pair)
