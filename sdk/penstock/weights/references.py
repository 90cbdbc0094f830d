"""Which entries of the weights cache a deployment uses, and which links lead to them: one small file for each."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from penstock.state_dir import write_atomically
from penstock.weights.manifest import content_key


@dataclass(frozen=True, slots=True)
class Reference:
    """What one deployment uses."""

    model_dir: Path
    keys: frozenset[str]
    """Of entries and views."""
    links: Mapping[str, str]
    """Symbolic links that were made for it, outside of the cache, with what they lead to."""


class References:
    """Files of a folder, each of which names a model folder and what it uses.

    A model folder that is gone uses nothing any more. Change and read only with the lock of the cache.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, model_dir: Path, keys: Iterable[str], links: Mapping[str, str]) -> None:
        """Says what `model_dir` uses, and nothing else; raises OSError."""
        content = {"model_dir": str(model_dir.resolve()), "keys": sorted(set(keys)), "links": dict(links)}
        write_atomically(self._file(model_dir), json.dumps(content) + "\n")

    def read(self, model_dir: Path) -> Reference:
        """Returns what `model_dir` uses."""
        return _read(self._file(model_dir)) or Reference(model_dir.resolve(), frozenset(), {})

    def replace(self, model_dir: Path, keys: Iterable[str], links: Mapping[str, str]) -> None:
        """As `write`, and removes the links that were made for `model_dir` before and are not among `links`."""
        old = self.read(model_dir).links
        self.write(model_dir, keys, links)
        _unlink(old, self.live())

    def remove(self, model_dir: Path) -> None:
        """Says that `model_dir` uses nothing any more, and removes the links that were made for it alone."""
        links = self.read(model_dir).links
        self._file(model_dir).unlink(missing_ok=True)
        _unlink(links, self.live())

    def needed(self) -> set[str]:
        """Returns the keys that any model folder uses; forgets those that are gone."""
        return {key for reference in self.live() for key in reference.keys}

    def live(self) -> list[Reference]:
        """Returns what each model folder uses that is still there; removes the links of those that are not."""
        live: list[Reference] = []
        gone: list[Reference] = []
        for file in sorted(self._folder.glob("*.json")):
            reference = _read(file)
            if reference is not None and reference.model_dir.is_dir():
                live.append(reference)
                continue
            file.unlink(missing_ok=True)
            if reference is not None:
                gone.append(reference)
        for reference in gone:
            _unlink(reference.links, live)
        return live

    def _file(self, model_dir: Path) -> Path:
        return self._folder / f"{content_key(model_dir.resolve())}.json"


def _unlink(links: Mapping[str, str], live: Iterable[Reference]) -> None:
    """Removes links that still lead where they were made to lead, unless another deployment has them, too."""
    shared = {link for reference in live for link in reference.links}
    for link, target in links.items():
        try:
            if link not in shared and os.readlink(link) == target:
                os.unlink(link)
        except OSError:
            # Gone, or no link any more: it is not ours to remove.
            continue


def _read(file: Path) -> Reference | None:
    try:
        content = json.loads(file.read_text("utf-8"))
        return Reference(
            Path(content["model_dir"]),
            frozenset(str(key) for key in content["keys"]),
            {str(link): str(target) for link, target in content["links"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
