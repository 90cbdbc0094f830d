"""The places of one deployment where its model looks for files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import assert_never

from penstock.truss import TrussConfig
from penstock.weights.cache import Cache
from penstock.weights.errors import WeightsError
from penstock.weights.hub_layout import put_snapshot, snapshot_folder, write_reference
from penstock.weights.items import DataPath, HubCachePath, Item, MountPath
from penstock.weights.local_files import check_local, local_size, wanted_files
from penstock.weights.manifest import content_key
from penstock.weights.placed import Available, Placed
from penstock.weights.placing import is_present, put_link
from penstock.weights.resolving import Resolved
from penstock.weights.safe_paths import inside
from penstock.weights.settings import FetchSettings
from penstock.weights.sources import HubSource, LocalSource


@dataclass(slots=True)
class Places:
    """Makes the links of one deployment, and keeps account of what of the cache it uses."""

    config: TrussConfig
    model_dir: Path
    cache: Cache
    settings: FetchSettings
    report: Callable[[str], None]
    keys: set[str] = field(default_factory=set)
    """Of the cache, used so far."""
    links: dict[str, str] = field(default_factory=dict)
    """Made so far, with what they lead to."""

    def uses(self, key: str) -> None:
        """Keeps `key` in the cache from now on."""
        self.keys.add(key)
        self.cache.refer(self.model_dir, {key}, {})

    def local(self, item: Item, source: LocalSource) -> Available:
        """Returns the files of a local source, which are never copied.

        Raises:
            WeightsError: they are not there, or not as they should be.
        """
        path = check_local(source, sha256=item.sha256, key=item.source_key)
        if path.is_file():
            size = path.stat().st_size
            return Available(folder=path.parent, names=(path.name,), is_folder=False, files=1, size=size, way="local")
        if not item.patterns.select:
            files, size = local_size(path)
            return Available(folder=path, names=(), is_folder=True, files=files, size=size, way="local")
        wanted = wanted_files(path, item.patterns, key=item.source_key)
        size = sum(file.stat().st_size for file in wanted.values())
        folder = self._view(path, wanted)
        return Available(folder=folder, names=(), is_folder=True, files=len(wanted), size=size, way="local")

    def present(self, resolved: Resolved) -> Available | None:
        """Returns the files that somebody else has put in place already, when all are there with their length."""
        item, listing = resolved.item, resolved.listing
        if listing is None:
            return None
        match item.place:
            case MountPath(path):
                place = path
            case HubCachePath():
                place = snapshot_folder(self._hub_cache, _repository(item).repo, listing.revision)
            case DataPath():
                return None
            case _:
                assert_never(item.place)
        is_file = not listing.is_folder and item.link_is_file
        wanted = [(file.name, file.size) for file in listing.files]
        if not is_present(place, wanted, is_file=is_file) or self._leads_to_us(place, wanted, is_file):
            return None
        self.report(f"{item.key}: {place} has all files of {item.source} already; they are used as they are")
        return Available(
            folder=place,
            names=tuple(file.name for file in listing.files),
            is_folder=listing.is_folder,
            files=len(wanted),
            size=listing.bytes_total or 0,
            way="present",
            revision=listing.revision,
        )

    def place(self, item: Item, found: Available) -> Placed:
        """Makes the links that lead to `found`.

        Raises:
            WeightsError: something else is in the way, or a link cannot be made.
        """
        match item.place:
            case HubCachePath():
                path = self._place_snapshot(item, found)
            case DataPath(name):
                below = PurePosixPath(self.config.data_dir) / name
                path = inside(self.model_dir.absolute(), below, item.place_key)
                self._link(item, path, found)
            case MountPath(path):
                if found.way != "present":
                    self._link(item, path, found)
            case _:
                assert_never(item.place)
        return Placed(item.key, str(item.source), path, found.files, found.size, found.way)

    def _link(self, item: Item, path: Path, found: Available) -> None:
        if found.is_folder:
            target = found.folder
        elif item.link_is_file:
            target = found.folder / found.names[0]
        elif found.way == "local":
            # The folder of a local file has other files, too.
            target = self._view(found.folder, {found.names[0]: found.folder / found.names[0]})
        else:
            target = found.folder
        if self.cache.holds(path.parent):
            raise WeightsError(item.place_key, f"{path} is inside of {path.parent.resolve()}, a folder of the cache")
        makers = self.cache.makers_of(path)
        others = [maker for maker in makers if maker != self.model_dir.resolve()]
        if others and path.is_symlink() and os.readlink(path) != str(target):
            self.report(f"{item.key}: {path} now leads to other files, also for the deployment of {others[0]}")
        put_link(path, target, key=item.place_key, is_ours=lambda link: self._is_ours(link, makers.values()))
        self.links[str(path)] = str(target)
        self.cache.refer(self.model_dir, (), {str(path): str(target)})

    def _view(self, folder: Path, files: Mapping[str, Path]) -> Path:
        key = content_key("view", folder, *sorted(files))
        self.uses(key)
        return self.cache.view(key, files)

    def _is_ours(self, link: Path, targets: Iterable[str] = ()) -> bool:
        return os.readlink(link) in targets or self.cache.holds(link)

    def _leads_to_us(self, place: Path, files: Iterable[tuple[str, int | None]], is_file: bool) -> bool:
        """Whether the files at a place are of the cache: somebody must be counted as their user."""
        return any(self.cache.holds(place if is_file else place / name) for name, _ in files)

    @property
    def _hub_cache(self) -> Path:
        return self.settings.hub_cache.expanduser().absolute()

    def _place_snapshot(self, item: Item, found: Available) -> Path:
        source, hub_cache = _repository(item), self._hub_cache
        if found.way == "present":
            write_reference(hub_cache, source, found.revision, key=item.place_key)
        else:
            links = put_snapshot(
                hub_cache,
                source,
                found.revision,
                found.folder,
                found.names,
                key=item.place_key,
                is_ours=self.cache.holds,
            )
            self.links.update(links)
            self.cache.refer(self.model_dir, (), links)
        return snapshot_folder(hub_cache, source.repo, found.revision)


def _repository(item: Item) -> HubSource:
    if not isinstance(item.source, HubSource):
        raise AssertionError(f"{item.source} is no repository of the Hub")
    return item.source
