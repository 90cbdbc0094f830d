"""The weights cache: complete downloads by content, shared by all deployments of a machine, within a bound.

entries/KEY/files/…         the files, read-only, with entries/KEY/manifest.json beside them
partial/KEY/files/…         what is being fetched, or was begun; kept for the next time
partial/KEY/parts/…         files of it that are not complete
references/*.json           what each deployment uses
locks/KEY.lock              held while KEY is fetched; cache.lock is held while entries come and go
views/KEY/…                 links to the wanted files of a local folder
trash/…                     what is being removed
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from penstock.weights.errors import WeightsError
from penstock.weights.file_lock import locked, tried
from penstock.weights.manifest import Manifest, Occupant, choose_evictions, read_manifest
from penstock.weights.progress import size_text
from penstock.weights.references import References
from penstock.weights.settings import CACHE_BYTES_VARIABLE

FOLDER = "weights"
SHARE_OF_DISK = 0.8
"""Of the file system, which the cache may take when nothing else is said."""
FREE_MIN_BYTES = 64 * 1024 * 1024
"""Left free on the disk."""
PARTIAL_AGE_MAX_S = 7 * 24 * 3600.0
"""A download that nobody went on with for so long is removed."""


class Cache:
    """One cache folder. Several processes may use it at once."""

    def __init__(
        self,
        cache_dir: Path,
        *,
        bytes_max: int | None,
        report: Callable[[str], None],
        stop: Event,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """`bytes_max`: None for SHARE_OF_DISK. Raises WeightsError when the folder cannot be used."""
        self._root = cache_dir.resolve() / FOLDER
        self._report = report
        self._stop = stop
        self._wall_clock = wall_clock
        self._entries = self._root / "entries"
        self._partial = self._root / "partial"
        self._locks = self._root / "locks"
        self._trash = self._root / "trash"
        self._views = self._root / "views"
        references = self._root / "references"
        try:
            for folder in (self._entries, self._partial, self._locks, self._trash, self._views, references):
                folder.mkdir(parents=True, exist_ok=True)
            disk = shutil.disk_usage(self._root)
        except OSError as exc:
            raise WeightsError("", f"the cache folder {self._root} cannot be used: {exc.strerror or exc}") from exc
        self.bytes_max = int(disk.total * SHARE_OF_DISK) if bytes_max is None else bytes_max
        self._references = References(references)

    @property
    def root(self) -> Path:
        """Folder that holds everything of the cache."""
        return self._root

    def files_of(self, key: str) -> Path:
        """Folder of the files of a complete entry."""
        return self._entries / key / "files"

    def partial_files_of(self, key: str) -> Path:
        """Folder into which the files of an entry are fetched; hold the key for it."""
        return self._partial / key / "files"

    def parts_of(self, key: str) -> Path:
        """Folder for files of an entry that are not complete; hold the key for it."""
        return self._partial / key / "parts"

    @contextmanager
    def holding(self, key: str, on_wait: Callable[[], None]) -> Iterator[None]:
        """Holds the right to fetch `key`; waits for another process that does."""
        with locked(self._locks / f"{key}.lock", stop=self._stop, on_wait=on_wait):
            yield

    def find(self, key: str) -> Manifest | None:
        """Returns what the entry `key` holds and marks it as used; removes an entry that was damaged."""
        file = self._entries / key / "manifest.json"
        try:
            manifest = read_manifest(file.read_text("utf-8"))
            os.utime(file, (self._wall_clock(),) * 2)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as exc:
            self._report(f"the cached copy {key} cannot be read ({exc}); fetching it again")
            self._remove(self._entries / key)
            return None
        for cached in manifest.files:
            path = self.files_of(key) / cached.name
            if not path.is_file() or path.stat().st_size != cached.size:
                self._report(f"the cached copy of {manifest.source} is damaged ({cached.name}); fetching it again")
                self._remove(self._entries / key)
                return None
        return manifest

    def newest_of(self, source_key: str) -> tuple[str, Manifest] | None:
        """Returns the entry of a source that was fetched last, of whatever revision."""
        found = [(key, manifest) for key, manifest in self._manifests() if manifest.source_key == source_key]
        return max(found, key=lambda item: item[1].fetched_at, default=None)

    def publish(self, key: str, manifest: Manifest) -> None:
        """Makes the fetched files of `key` an entry, in one step; hold the key for it.

        Raises:
            WeightsError: with it, the cache would be larger than its bound, and all else in it is needed.
        """
        folder = self._partial / key
        (folder / "plan.json").unlink(missing_ok=True)
        shutil.rmtree(folder / "parts", ignore_errors=True)
        (folder / "manifest.json").write_text(manifest.to_json(), "utf-8")
        with self._locked():
            self._make_room(0, own=key)
            self._remove(self._entries / key)
            os.rename(folder, self._entries / key)

    def plan(self, key: str, what: str, size: int | None) -> None:
        """Makes room for `size` bytes (None: unknown) that are about to be fetched as `key`; hold the key for it.

        Raises:
            WeightsError: there is no room, and everything that is there is needed.
        """
        folder = self.partial_files_of(key)
        folder.mkdir(parents=True, exist_ok=True)
        with self._locked():
            missing = max((size or 0) - _payload_bytes(folder.parent), 0)
            self._make_room(missing, own=key)
            plan = {"bytes": size or 0, "what": what}
            (folder.parent / "plan.json").write_text(json.dumps(plan), "utf-8")

    def make_room(self, key: str) -> None:
        """Removes what is over the bound while `key` grows; raises WeightsError when all that is left is needed."""
        with self._locked():
            self._make_room(0, own=key)

    def view(self, key: str, links: Mapping[str, Path]) -> Path:
        """Returns a folder of symbolic links by name; `key` stands for all of `links`. `refer` to it first."""
        folder = self._views / key
        if folder.exists():
            return folder
        with self._locked():
            draft = self._trash / f"{key}-{os.getpid()}-{time.time_ns()}"
            for name, target in links.items():
                link = draft / name
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(target)
            os.rename(draft, folder)
        return folder

    def refer(self, model_dir: Path, keys: Iterable[str], links: Mapping[str, str]) -> None:
        """Says that the deployment of `model_dir` uses `keys` and `links` beside what it used so far."""
        with self._locked():
            old = self._references.read(model_dir)
            self._references.write(model_dir, old.keys.union(keys), {**old.links, **links})

    def settle(self, model_dir: Path, keys: Iterable[str], links: Mapping[str, str]) -> None:
        """Says that the deployment of `model_dir` uses `keys` and `links` and nothing else."""
        with self._locked():
            self._references.replace(model_dir, keys, links)
            needed = self._references.needed()
            for folder in list(self._views.iterdir()):
                if folder.name not in needed:
                    self._remove(folder)

    def release(self, model_dir: Path) -> None:
        """Says that the deployment of `model_dir` uses nothing any more. Its files stay until room is needed."""
        with self._locked():
            self._references.remove(model_dir)

    def makers_of(self, link: Path) -> dict[Path, str]:
        """Returns the model folders for which the symbolic link `link` was made, with what it was made to lead to."""
        with self._locked():
            live = self._references.live()
            return {holder.model_dir: holder.links[str(link)] for holder in live if str(link) in holder.links}

    def holds(self, path: Path) -> bool:
        """Whether `path` leads into the cache."""
        resolved = path.resolve()
        return resolved == self._root or self._root in resolved.parents

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with locked(self._root / "cache.lock", stop=Event(), wait_max_s=600):
            yield

    def _make_room(self, size: int, *, own: str) -> None:
        occupants = list(self._occupants(own))
        for occupant in occupants:
            if occupant.is_partial and not occupant.is_needed:
                age = self._wall_clock() - occupant.used_at
                if age > PARTIAL_AGE_MAX_S:
                    self._evict(occupant, "nobody went on with it for a week")
        occupants = list(self._occupants(own))
        used = sum(occupant.size for occupant in occupants)
        over = used + size - self.bytes_max
        lacking = size + FREE_MIN_BYTES - shutil.disk_usage(self._root).free
        chosen = choose_evictions(occupants, excess=max(over, lacking))
        if chosen is None:
            raise self._no_room(occupants, size, over=over, lacking=lacking)
        for occupant in chosen:
            self._evict(occupant, "least recently used, and room is needed")

    def _no_room(self, occupants: list[Occupant], size: int, *, over: int, lacking: int) -> WeightsError:
        needed = size_text(sum(occupant.size for occupant in occupants if occupant.is_needed))
        if over >= lacking:
            what = f"{size_text(size)} more do not fit into the weights cache" if size else "there is no more room in"
            return WeightsError(
                "",
                f"{what} {self._root}: its bound is {size_text(self.bytes_max)}, and {needed} are in use by "
                f"deployments and downloads; raise {CACHE_BYTES_VARIABLE}, or remove a deployment",
            )
        free = size_text(shutil.disk_usage(self._root).free)
        return WeightsError(
            "",
            f"{size_text(size + FREE_MIN_BYTES)} must be free on the disk of {self._root}, and {free} are; {needed} of "
            "the weights cache are in use by deployments and downloads; make room, or choose another folder",
        )

    def _evict(self, occupant: Occupant, reason: str) -> None:
        lock = self._locks / f"{occupant.key}.lock"
        with tried(lock) as is_free:
            # Somebody began to use it in this moment; the bound is kept by whoever looks next.
            if not is_free:
                return
            self._report(f"removing {occupant.what} from the weights cache, {size_text(occupant.size)}: {reason}")
            self._remove((self._partial if occupant.is_partial else self._entries) / occupant.key)
            lock.unlink(missing_ok=True)

    def _occupants(self, own: str) -> Iterator[Occupant]:
        needed = self._references.needed()
        for folder in sorted(self._entries.iterdir()):
            key = folder.name
            is_needed = key in needed or key == own or self._is_held(key)
            manifest = _manifest_of(folder)
            what = manifest.source if manifest else "an entry that cannot be read"
            size = manifest.size if manifest else _tree_bytes(folder)
            yield Occupant(key, what, size, _changed_at(folder / "manifest.json"), False, is_needed)
        for folder in sorted(self._partial.iterdir()):
            key = folder.name
            is_held = key == own or self._is_held(key)
            size = _payload_bytes(folder)
            planned, what = _read_plan(folder / "plan.json")
            if is_held and key != own:
                size = max(size, planned)
            yield Occupant(key, f"the unfinished {what}", size, _newest_change(folder), True, is_held)

    def _is_held(self, key: str) -> bool:
        lock = self._locks / f"{key}.lock"
        if not lock.exists():
            return False
        with tried(lock) as is_free:
            return not is_free

    def _manifests(self) -> Iterator[tuple[str, Manifest]]:
        for folder in sorted(self._entries.iterdir()):
            if manifest := _manifest_of(folder):
                yield folder.name, manifest

    def _remove(self, folder: Path) -> None:
        """Removes a folder in one step for all who look at it, even if the removal itself is interrupted."""
        for left in self._trash.iterdir():
            shutil.rmtree(left, ignore_errors=True)
        if folder.exists():
            trash = self._trash / f"{folder.name}-{os.getpid()}-{time.time_ns()}"
            os.rename(folder, trash)
            shutil.rmtree(trash, ignore_errors=True)


def _manifest_of(folder: Path) -> Manifest | None:
    try:
        return read_manifest((folder / "manifest.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _tree_bytes(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                found = os.lstat(os.path.join(parent, name))
            except FileNotFoundError:
                continue
            if stat.S_ISREG(found.st_mode):
                total += found.st_size
    return total


def _payload_bytes(partial: Path) -> int:
    return _tree_bytes(partial / "files") + _tree_bytes(partial / "parts")


def _newest_change(folder: Path) -> float:
    names = (os.path.join(parent, name) for parent, _, files in os.walk(folder) for name in files)
    return max([_changed_at(folder), *(_changed_at(Path(name)) for name in names)])


def _read_plan(file: Path) -> tuple[int, str]:
    try:
        content = json.loads(file.read_text("utf-8"))
        return int(content["bytes"]), str(content["what"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0, "download"
