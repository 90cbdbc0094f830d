"""Asks each source what it holds, so that it can be found in the cache or fetched."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from threading import Event

from penstock.weights.bucket import list_bucket
from penstock.weights.cache import Cache
from penstock.weights.errors import Stopped, TransferError, WeightsError
from penstock.weights.http_client import Credential, HttpClient, bearer
from penstock.weights.http_origin import HttpOrigin
from penstock.weights.hub import list_repository
from penstock.weights.items import Item
from penstock.weights.manifest import Manifest, content_key
from penstock.weights.remote_file import Listing, RemoteFile
from penstock.weights.retrying import RetryPolicy, jitter
from penstock.weights.secret_lookup import ENVIRONMENT_PREFIX, SECRETS_FOLDER
from penstock.weights.settings import FetchSettings
from penstock.weights.sources import BucketSource, HttpSource, HubSource

FAILURES_WITH_COPY_MAX = 2
"""Attempts to ask a source of which a copy is in the cache."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """What an item is, as far as it is known before it is fetched."""

    item: Item
    key: str
    """Of the cache."""
    source_key: str
    """Same for all revisions."""
    revision: str
    cached: Manifest | None
    """The complete copy in the cache."""
    listing: Listing | None
    """None when nothing needs to be asked or fetched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolver:
    """Resolves items of remote sources."""

    cache: Cache
    client: HttpClient
    settings: FetchSettings
    secrets: Mapping[str, str]
    retry: RetryPolicy
    stop: Event
    report: Callable[[str], None]

    def resolve(self, item: Item) -> Resolved:
        """Returns the current revision of an item's source, or its copy where the source cannot be asked.

        Raises:
            WeightsError: the source cannot be had.
            Stopped: `stop` was set.
        """
        source_key = content_key(type(item.source).__name__, repr(item.source), item.patterns, item.sha256)
        if revision := _fixed_revision(item):
            key = content_key(source_key, revision)
            if cached := self.cache.find(key):
                return Resolved(item, key, source_key, revision, cached, None)
        copy = self.cache.newest_of(source_key)
        try:
            listing = self._list_patiently(item, has_copy=copy is not None)
        except TransferError as exc:
            if copy is None or not exc.retryable:
                raise WeightsError(item.source_key, f"{exc}{self._advice(item, exc)}") from None
            found = self.cache.find(copy[0])
            if found is None:
                raise WeightsError(item.source_key, str(exc)) from None
            self.report(f"{item.key}: {exc}; using the copy of {item.source} in the cache, which may be old")
            return Resolved(item, copy[0], source_key, found.revision, found, None)
        key = content_key(source_key, listing.revision)
        return Resolved(item, key, source_key, listing.revision, self.cache.find(key), listing)

    def _list_patiently(self, item: Item, *, has_copy: bool) -> Listing:
        retry = replace(self.retry, failures_max=FAILURES_WITH_COPY_MAX) if has_copy else self.retry
        failures = 0
        while True:
            try:
                return self._list(item)
            except TransferError as exc:
                failures += 1
                delay = retry.delay_s(exc, failures=failures, attempts=failures, jitter=jitter())
                if delay is None:
                    raise
                self.report(f"{item.key}: {exc}; trying again in {delay:.1f} s")
                if self.stop.wait(delay):
                    raise Stopped from None

    def _list(self, item: Item) -> Listing:
        secret = self._secret(item)
        match item.source:
            case HttpSource() as source:
                return self._list_url(item, source, bearer(secret) if secret else None)
            case HubSource() as source:
                token = secret or self.settings.hub_token
                return list_repository(
                    source,
                    item.patterns,
                    key=item.source_key,
                    endpoint=self.settings.hub_endpoint,
                    client=self.client,
                    credential=bearer(token) if token else None,
                )
            case BucketSource() as source:
                return list_bucket(source, item.patterns, key=item.source_key, secret=secret)
        raise AssertionError(f"{item.source} is on this machine")

    def _list_url(self, item: Item, source: HttpSource, credential: Credential | None) -> Listing:
        name = source.file_name
        if not item.patterns.wants(name):
            raise WeightsError(item.source_key, f"{name} is not wanted by the patterns ({item.patterns})")
        origin = HttpOrigin(self.client, source.url, credential)
        facts = origin.facts()
        # Without any mark of its version a file cannot be told from the next one: it is fetched each time.
        revision = _fixed_revision(item) or facts.revision or f"once-{uuid.uuid4()}"
        file = RemoteFile(name=name, size=facts.size, sha256=item.sha256 or facts.sha256, origin=origin)
        return Listing(revision=revision, files=(file,), is_folder=False)

    def _secret(self, item: Item) -> str | None:
        if item.secret_name is None:
            return None
        secret = self.secrets.get(item.secret_name)
        if not secret and item.needs_secret:
            raise WeightsError(
                item.secret_key,
                f"the secret {item.secret_name!r} has no value; set the environment variable "
                f"{ENVIRONMENT_PREFIX}{item.secret_name}, or write it to {SECRETS_FOLDER / item.secret_name}",
            )
        return secret

    def _advice(self, item: Item, exc: TransferError) -> str:
        if "it needs a secret" in str(exc) and item.secret_name:
            return f"; the secret is {item.secret_name!r} ({ENVIRONMENT_PREFIX}{item.secret_name})"
        return ""


def _fixed_revision(item: Item) -> str:
    """Returns the revision that the configuration itself fixes for all time; empty when the source must be asked."""
    if item.sha256:
        return f"sha256-{item.sha256}"
    if isinstance(item.source, HubSource) and re.fullmatch("[0-9a-f]{40}", item.source.revision):
        return item.source.revision
    return ""
