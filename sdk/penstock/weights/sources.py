"""Where files come from, read from the texts of config.yaml."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit, urlunsplit

from penstock.weights.errors import WeightsError
from penstock.weights.safe_paths import relative_name

REVISION_DEFAULT = "main"
R2_HOST = "r2.cloudflarestorage.com"


@dataclass(frozen=True, slots=True)
class LocalSource:
    """A file or folder of this machine."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, slots=True)
class HttpSource:
    """One file of a web server."""

    url: str
    """http or https, without a fragment; may hold a user name, a password and signed parameters."""
    sha256: str | None = None
    """From a fragment #sha256=…."""

    def __str__(self) -> str:
        return redacted(self.url)

    @property
    def file_name(self) -> str:
        """Last part of the path; "download" where there is none."""
        return unquote(urlsplit(self.url).path.rpartition("/")[2]) or "download"


@dataclass(frozen=True, slots=True)
class HubSource:
    """A repository of the Hugging Face Hub."""

    repo: str
    """ "owner/name", or "name" for the oldest repositories."""
    revision: str = REVISION_DEFAULT
    """Branch, tag or commit."""

    def __str__(self) -> str:
        return f"hf://{self.repo}@{self.revision}"


@dataclass(frozen=True, slots=True)
class BucketSource:
    """A file or folder of an object store, which fsspec reads."""

    protocol: Literal["s3", "gs", "abfs"]
    """Name at fsspec."""
    path: str
    """ "bucket/key"; for Azure "container/path"."""
    text: str
    """As written."""
    account: str = ""
    """Azure only."""
    endpoint: str = ""
    """URL of an S3 that is not Amazon's."""

    def __str__(self) -> str:
        return self.text


Source = LocalSource | HttpSource | HubSource | BucketSource


def read_source(text: str, *, key: str, model_dir: Path) -> Source:
    """Reads a URL or a path; a relative path is below `model_dir`.

    Raises:
        WeightsError: the scheme is unknown, or the rest does not fit it.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        return _local(text, key, model_dir)
    match scheme.lower():
        case "file":
            host, _, path = rest.partition("/")
            if host not in ("", "localhost"):
                raise WeightsError(key, f"must be file:///PATH, got {text!r}")
            return _local(f"/{unquote(path)}", key, model_dir)
        case "http" | "https":
            return read_http(text, key=key)
        case "hf":
            return read_hub(rest, key=key)
        case "s3":
            return BucketSource("s3", _bucket_path(rest, text, key), text)
        case "gs" | "gcs":
            return BucketSource("gs", _bucket_path(rest, text, key), text)
        case "azure":
            account, _, path = rest.partition("/")
            if not re.fullmatch("[a-z0-9]{3,24}", account):
                raise WeightsError(key, f"must be azure://ACCOUNT/CONTAINER/PATH, got {text!r}")
            return BucketSource("abfs", _bucket_path(path, text, key), text, account=account)
        case "r2":
            account, _, path = rest.partition(".")
            if not re.fullmatch("[A-Za-z0-9]+", account):
                raise WeightsError(key, f"must be r2://ACCOUNT_ID.BUCKET/PATH, got {text!r}")
            return BucketSource("s3", _bucket_path(path, text, key), text, endpoint=f"https://{account}.{R2_HOST}")
    raise WeightsError(
        key,
        f"{scheme}:// is not supported; use https://, hf://, s3://, gs://, azure://, r2://, file:// or a path "
        "(another S3: s3:// with AWS_ENDPOINT_URL)",
    )


def read_http(text: str, *, key: str) -> HttpSource:
    """Reads an http or https URL, where #sha256=DIGEST may follow; raises WeightsError."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as exc:
        raise WeightsError(key, f"is not a valid URL: {exc}") from None
    if not host or re.search(r"[\x00-\x20\x7f]", text):
        raise WeightsError(key, f"must be a URL with a host and without blanks, got {redacted(text)!r}")
    digest = None
    if parts.fragment.startswith("sha256="):
        digest = parts.fragment.removeprefix("sha256=").lower()
        if not re.fullmatch("[0-9a-f]{64}", digest):
            raise WeightsError(key, f"#sha256= needs 64 hexadecimal digits, got {digest!r}")
    source = HttpSource(urlunsplit(parts._replace(scheme=parts.scheme.lower(), fragment="")), digest)
    relative_name(source.file_name.replace("/", "\\"), key)
    return source


def read_hub(text: str, *, key: str, revision: str | None = None) -> HubSource:
    """Reads OWNER/NAME[@REVISION]; raises WeightsError."""
    repo, _, written = text.partition("@")
    source = HubSource(repo, written or revision or REVISION_DEFAULT)
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9_][\w.-]{0,95})?", repo, re.ASCII) or ".." in repo:
        raise WeightsError(key, f"must be hf://OWNER/NAME or hf://OWNER/NAME@REVISION, got {text!r}")
    if not re.fullmatch(r"[\w][\w./-]{0,254}", source.revision, re.ASCII) or ".." in source.revision:
        raise WeightsError(key, f"{source.revision!r} is not the name of a revision")
    return source


def redacted(url: str) -> str:
    """Returns `url` without password and parameters, which may be secrets."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url.partition("?")[0]
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "…" if parts.query else "", ""))


def _local(text: str, key: str, model_dir: Path) -> LocalSource:
    if "\0" in text or not text.strip():
        raise WeightsError(key, f"must be a path, got {text!r}")
    if text.startswith("~"):
        raise WeightsError(key, f"'~' is not expanded; write the absolute path instead of {text!r}")
    path = Path(text)
    if path.is_absolute():
        return LocalSource(path)
    name = relative_name(text.rstrip("/") or text, key)
    return LocalSource(model_dir.joinpath(*name.parts))


def _bucket_path(path: str, text: str, key: str) -> str:
    plain = path.strip("/")
    if not plain or path.startswith("/") or ".." in plain.split("/") or "*" in plain or "@" in plain:
        raise WeightsError(key, f"must be SCHEME://BUCKET/PATH without '..', '*' and '@', got {text!r}")
    return plain
