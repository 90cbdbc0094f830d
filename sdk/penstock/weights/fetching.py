"""Fetches the files of a source into the cache."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from threading import Event
from typing import TypeVar

from penstock.weights.cache import Cache
from penstock.weights.errors import Stopped, WeightsError
from penstock.weights.manifest import CachedFile, Manifest
from penstock.weights.progress import SharedProgress
from penstock.weights.remote_file import Listing
from penstock.weights.resolving import Resolved
from penstock.weights.transfer import Arrived, Transfer, TransferSettings

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetcher:
    """Fetches listings; may be used by several threads, which share the pool for files."""

    cache: Cache
    pool: ThreadPoolExecutor
    stop: Event
    report: Callable[[str], None]
    settings: TransferSettings

    def fetch(self, resolved: Resolved) -> tuple[Manifest, bool]:
        """Returns the complete entry of the cache, and whether it was fetched now.

        Raises:
            WeightsError: it cannot be had. Complete files and parts stay for the next time.
            Stopped: `stop` was set.
        """
        item, key = resolved.item, resolved.key
        waiting = f"{item.key}: {item.source} is being fetched already; waiting for it"
        with self.cache.holding(key, lambda: self.report(waiting)):
            if cached := self.cache.find(key):
                return cached, False
            if resolved.listing is None:
                raise WeightsError(item.source_key, f"the copy of {item.source} was removed from the cache; try again")
            try:
                self.cache.plan(key, str(item.source), resolved.listing.bytes_total)
                arrived = self._fetch_files(resolved, resolved.listing)
                manifest = Manifest(
                    source=str(item.source),
                    source_key=resolved.source_key,
                    revision=resolved.revision,
                    is_folder=resolved.listing.is_folder,
                    files=tuple(CachedFile(file.name, file.size, file.sha256) for file in arrived),
                    fetched_at=time.time(),
                )
                self.cache.publish(key, manifest)
            except WeightsError as exc:
                raise exc if exc.key else WeightsError(item.source_key, f"{item.source}: {exc.message}") from None
        return manifest, True

    def _fetch_files(self, resolved: Resolved, listing: Listing) -> list[Arrived]:
        item, key = resolved.item, resolved.key
        progress = SharedProgress(f"{item.key} {item.source}", total=listing.bytes_total, report=self.report)
        transfer = Transfer(
            folder=self.cache.partial_files_of(key),
            parts=self.cache.parts_of(key),
            key=item.source_key,
            progress=progress,
            stop=self.stop,
            make_room=lambda: self.cache.make_room(key),
            report=lambda text: self.report(f"{item.key}: {text}"),
            settings=self.settings,
        )
        futures = [self.pool.submit(transfer.fetch, file) for file in listing.files]
        arrived = settled(futures, self.stop)
        progress.finish()
        return arrived


def settled(futures: list[Future[_T]], stop: Event) -> list[_T]:
    """Waits for all and returns their results in order; at the first failure stops the others, then raises it."""
    first: BaseException | None = None
    try:
        for future in as_completed(futures):
            exc = future.exception()
            if exc is not None:
                stop.set()
                if first is None or isinstance(first, Stopped):
                    first = exc
    except BaseException:
        stop.set()
        raise
    if first is not None:
        raise first
    return [future.result() for future in futures]
