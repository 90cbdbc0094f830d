"""Object stores, read with fsspec where it is installed."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from penstock.weights.errors import TransferError, WeightsError
from penstock.weights.manifest import content_key
from penstock.weights.patterns import Patterns
from penstock.weights.remote_file import Listing, Opened, RemoteFile
from penstock.weights.safe_paths import relative_name
from penstock.weights.sources import BucketSource

EXTRA = "penstock[weights]"
DRIVERS = {"s3": "s3fs", "gs": "gcsfs", "abfs": "adlfs"}
"""Package that fsspec needs for a protocol."""
BLOCK_BYTES = 8 * 1024 * 1024
FILES_MAX = 100_000
"""A folder with more files is refused; it is rather a whole bucket by mistake."""

OpenFileSystem = Callable[..., Any]
"""fsspec.filesystem, or what stands for it in a test."""


def list_bucket(
    source: BucketSource,
    patterns: Patterns,
    *,
    key: str,
    secret: str | None,
    open_file_system: OpenFileSystem | None = None,
) -> Listing:
    """Returns the wanted files at or below a path of an object store.

    Raises:
        WeightsError: a package is missing, the secret is not of the expected form, or nothing is there.
        TransferError: the store cannot be read.
    """
    options = _options(source, secret, key)
    opened = open_file_system or _fsspec(source, key)
    store = _open_store(source, options, key, opened)
    try:
        found = _find(store, source)
    except _NoCredentials:
        # Neither a secret nor credentials of the machine: a public bucket opens without.
        store = _open_store(source, {**options, "anon": True}, key, opened)
        found = _find(store, source)
    wanted = [(name, info) for name, info in sorted(found.items()) if info.get("type", "file") == "file"]
    if len(wanted) > FILES_MAX:
        raise WeightsError(key, f"{source} holds more than {FILES_MAX} files; name a folder with fewer")
    is_folder = not (len(wanted) == 1 and wanted[0][0].strip("/") == source.path)
    files, facts = [], []
    for path, info in wanted:
        plain = path.strip("/")
        inner = plain.removeprefix(source.path).strip("/") if is_folder else plain.rpartition("/")[2]
        if not inner or not patterns.wants(inner):
            continue
        size = info.get("size")
        tag = _tag(info)
        name = str(relative_name(inner, key))
        origin = BucketOrigin(store, path, source, tag)
        files.append(RemoteFile(name=name, size=int(size) if size is not None else None, sha256=None, origin=origin))
        facts.append((name, size, tag))
    if not files:
        raise WeightsError(key, f"{source} has no file that is wanted ({len(found)} in all; {patterns})")
    return Listing(revision=content_key(*facts), files=tuple(files), is_folder=is_folder)


class _NoCredentials(TransferError):
    """The driver for S3 has found no credentials at all."""


def _find(store: Any, source: BucketSource) -> dict[str, Mapping[str, Any]]:
    try:
        found: dict[str, Mapping[str, Any]] = store.find(source.path, detail=True)
    except Exception as exc:
        if type(exc).__name__ == "NoCredentialsError":
            raise _NoCredentials(f"{source} needs a secret", retryable=False) from None
        raise _store_error(source, exc) from None
    return found


@dataclass(frozen=True, slots=True)
class BucketOrigin:
    """One object."""

    store: Any
    path: str
    source: BucketSource
    tag: str
    """Changes with the content."""

    def open(self, offset: int, validator: str) -> Opened:
        """See Origin.open."""
        begin = offset if self.tag and validator == self.tag else 0
        try:
            file = self.store.open(self.path, "rb", block_size=BLOCK_BYTES, cache_type="readahead")
            file.seek(begin)
            size = getattr(file, "size", None)
        except Exception as exc:
            raise _store_error(self.source, exc) from None

        def read(count: int) -> bytes:
            try:
                return bytes(file.read(count))
            except Exception as exc:
                raise _store_error(self.source, exc) from None

        total = int(size) if isinstance(size, int) else None
        return Opened(read=read, close=file.close, offset=begin, total=total, validator=self.tag)


def _fsspec(source: BucketSource, key: str) -> OpenFileSystem:
    try:
        # fsspec is optional: only these sources need it.
        opened: OpenFileSystem = importlib.import_module("fsspec").filesystem
    except ImportError:
        raise _missing(source, key, "fsspec") from None
    return opened


def _open_store(source: BucketSource, options: Mapping[str, Any], key: str, opened: OpenFileSystem) -> Any:
    try:
        # Without fsspec's own cache of instances and listings: a secret or a file may have changed.
        return opened(source.protocol, skip_instance_cache=True, use_listings_cache=False, **options)
    except ImportError:
        raise _missing(source, key, DRIVERS[source.protocol]) from None
    except Exception as exc:
        raise _store_error(source, exc) from None


def _missing(source: BucketSource, key: str, package: str) -> WeightsError:
    driver = DRIVERS[source.protocol]
    return WeightsError(
        key,
        f"{source} needs the Python package {package}, which is not installed; "
        f"install both parts with: pip install '{EXTRA}' {driver}",
    )


def _options(source: BucketSource, secret: str | None, key: str) -> dict[str, Any]:
    content = _secret_content(source, secret, key) if secret else None
    options: dict[str, Any] = {}
    client: dict[str, str] = {}
    match source.protocol:
        case "s3":
            if source.endpoint:
                client["endpoint_url"] = source.endpoint
            if content:
                options["key"] = _field(content, key, "access_key_id")
                options["secret"] = _field(content, key, "secret_access_key")
                if token := content.get("aws_session_token") or content.get("session_token"):
                    options["token"] = token
                if region := content.get("aws_region") or content.get("region"):
                    client["region_name"] = str(region)
            if client:
                options["client_kwargs"] = client
        case "gs":
            if content:
                options["token"] = content
        case "abfs":
            options["account_name"] = source.account
            if content:
                names = ("account_key", "sas_token", "connection_string", "tenant_id", "client_id", "client_secret")
                options.update({name: content[name] for name in names if name in content})
    return options


def _secret_content(source: BucketSource, secret: str, key: str) -> dict[str, Any]:
    try:
        content = json.loads(secret)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise WeightsError(key, f"the secret for {source} must be a JSON mapping; docs/weights.md shows its keys")
    return content


def _field(content: Mapping[str, Any], key: str, name: str) -> str:
    value = content.get(name) or content.get(f"aws_{name}")
    if not isinstance(value, str) or not value:
        raise WeightsError(key, f"the secret has no {name!r}; docs/weights.md shows the keys of secrets")
    return value


def _tag(info: Mapping[str, Any]) -> str:
    for name in ("ETag", "etag", "md5Hash", "content_md5", "generation", "LastModified", "last_modified", "mtime"):
        if value := info.get(name):
            return str(value)
    return ""


def _store_error(source: BucketSource, exc: Exception) -> TransferError:
    final = isinstance(exc, FileNotFoundError | PermissionError | NotImplementedError | ValueError | TypeError)
    text = str(exc).splitlines()[0][:300] if str(exc) else ""
    return TransferError(f"{source} cannot be read: {type(exc).__name__}: {text}".rstrip(": "), retryable=not final)
