"""Puts in place all files that a deployment needs beside its own folder."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from penstock.truss import TrussConfig
from penstock.weights.cache import FOLDER, Cache
from penstock.weights.fetching import Fetcher, settled
from penstock.weights.http_client import HttpClient
from penstock.weights.items import Item, read_items
from penstock.weights.placed import Available, Placed
from penstock.weights.places import Places
from penstock.weights.progress import size_text
from penstock.weights.resolving import Resolver
from penstock.weights.secret_lookup import SecretLookup
from penstock.weights.settings import read_fetch_settings
from penstock.weights.sources import LocalSource
from penstock.weights.transfer import TransferSettings

PARALLEL_ITEMS = 4
"""Sources that are asked and fetched at one moment."""


def fetch_all(
    config: TrussConfig,
    model_dir: Path,
    cache_dir: Path,
    report: Callable[[str], None],
    *,
    secrets: Mapping[str, str] | None = None,
    env: Mapping[str, str] = os.environ,
    transfer: TransferSettings | None = None,
) -> list[Placed]:
    """Fetches `external_data`, `model_cache` and `weights`, and puts them where the model looks for them.

    Calls `report` with lines for people, from one thread at a time. The files stay in the cache as long as `model_dir`
    exists, or until `release` or the next `fetch_all` for it.

    Args:
        config: Of the deployment.
        model_dir: Its folder; `external_data` comes into its data folder.
        cache_dir: Shared by all deployments of the machine.
        report: Takes lines without a line break.
        secrets: By name; None for those of the environment, the secrets folder and `config`.
        env: Of this process.
        transfer: How patient downloads are.

    Returns:
        One entry for each of config.yaml, in its order.

    Raises:
        WeightsError: files cannot be had or put in place; names the key and says what to do.
    """
    items = read_items(config, model_dir)
    if not items:
        release(cache_dir, model_dir)
        return []
    settings = read_fetch_settings(env, config.environment_variables)
    stop = threading.Event()
    lock = threading.Lock()

    def report_in_turn(text: str) -> None:
        with lock:
            report(text)

    cache = Cache(cache_dir, bytes_max=settings.cache_bytes, report=report_in_turn, stop=stop)
    patience = transfer or TransferSettings()
    resolver = Resolver(
        cache=cache,
        client=HttpClient(),
        settings=settings,
        secrets=SecretLookup(config.secrets, env=env) if secrets is None else secrets,
        retry=patience.retry,
        stop=stop,
        report=report_in_turn,
    )
    with ThreadPoolExecutor(settings.parallel_files, "weights-file") as files:
        fetcher = Fetcher(cache=cache, pool=files, stop=stop, report=report_in_turn, settings=patience)
        places = Places(config, model_dir, cache, settings, report_in_turn)
        try:
            with ThreadPoolExecutor(PARALLEL_ITEMS, "weights-item") as pool:
                work = [pool.submit(_get, item, places, resolver, fetcher) for item in items]
                got = settled(work, stop)
            placed = [places.place(item, found) for item, found in zip(items, got, strict=True)]
        finally:
            stop.set()
    cache.settle(model_dir, places.keys, places.links)
    return placed


def release(cache_dir: Path, model_dir: Path) -> None:
    """Says that the deployment of `model_dir` is gone: its files may be removed from the cache, and its links are."""
    if (cache_dir / FOLDER).is_dir():
        cache = Cache(cache_dir, bytes_max=None, report=lambda _: None, stop=threading.Event())
        cache.release(model_dir)


def _get(item: Item, places: Places, resolver: Resolver, fetcher: Fetcher) -> Available:
    if isinstance(item.source, LocalSource):
        return places.local(item, item.source)
    resolved = resolver.resolve(item)
    if found := places.present(resolved):
        return found
    # Before it is looked for or fetched, so that nobody else makes room with it.
    places.uses(resolved.key)
    manifest, is_new = fetcher.fetch(resolved)
    if not is_new:
        size = size_text(manifest.size)
        places.report(f"{item.key}: {item.source} is in the cache ({len(manifest.files)} files, {size})")
    return Available(
        folder=places.cache.files_of(resolved.key),
        names=tuple(file.name for file in manifest.files),
        is_folder=manifest.is_folder,
        files=len(manifest.files),
        size=manifest.size,
        way="fetched" if is_new else "cached",
        revision=manifest.revision,
    )
