"""Files that a deployment needs beside its code: `external_data`, `model_cache` and `weights` (truss.md section 3)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from penstock.truss.document import describe
from penstock.truss.section import Section

ModelCacheKind = Literal["hf", "gcs", "s3", "azure"]
MODEL_CACHE_KINDS = ("hf", "gcs", "s3", "azure")
EXTERNAL_DATA_BACKENDS = ("http_public",)
WEIGHTS_SCHEMES = ("hf", "s3", "gs", "azure", "r2", "cw", "https", "http", "file")
"""Where weights come from; a source without a scheme is a path, from the Truss directory when relative."""
AUTH_METHODS = ("CUSTOM_SECRET", "AWS_OIDC", "GCP_OIDC")
"""In any case; the last two are accepted without effect."""
OIDC_KEYS = ("aws_oidc_region", "aws_oidc_role_arn", "gcp_oidc_service_account", "gcp_oidc_workload_id_provider")
SECRET_DEFAULT = "hf_access_token"
"""Name of the secret that opens a repository of `model_cache`, as in Truss."""


@dataclass(frozen=True, slots=True)
class ExternalData:
    """One file of `external_data`, which is downloaded before the first replica starts."""

    url: str
    local_data_path: str
    """Relative to the data directory of the deployment; never leads out of it."""
    backend: str = "http_public"
    name: str | None = None
    sha256: str | None = None
    """64 hexadecimal digits in lower case; our own addition to the keys of Truss."""


@dataclass(frozen=True, slots=True)
class ModelCacheItem:
    """One repository of `model_cache`, the older form of `weights`."""

    repo_id: str
    revision: str | None = None
    allow_patterns: tuple[str, ...] = ()
    """File name patterns; empty allows all."""
    ignore_patterns: tuple[str, ...] = ()
    volume_folder: str | None = None
    """Folder below /app/model_cache; always there when `use_volume` is true."""
    use_volume: bool = False
    kind: ModelCacheKind = "hf"
    runtime_secret_name: str = SECRET_DEFAULT


@dataclass(frozen=True, slots=True)
class WeightsItem:
    """One entry of `weights`: files that are in place before the model is loaded."""

    source: str
    """`SCHEME://…` with a scheme of WEIGHTS_SCHEMES, or a local path."""
    mount_location: str
    """Absolute path at which the model finds the files."""
    auth: Mapping[str, Any] = field(default_factory=dict)
    """As it stands in the file; empty when absent."""
    auth_secret_name: str | None = None
    """Also when it stands inside `auth`."""
    allow_patterns: tuple[str, ...] = ()
    ignore_patterns: tuple[str, ...] = ()
    sha256: str | None = None
    """Of a source that is one file; our own addition to the keys of Truss."""


def read_external_data(top: Section) -> tuple[ExternalData, ...]:
    """Reads `external_data`; two entries for one path are refused."""
    items = []
    taken: set[str] = set()
    for section in top.sections("external_data"):
        item = ExternalData(
            url=_url(section),
            local_data_path=section.required_path("local_data_path", "the data directory"),
            backend=section.choice("backend", "http_public", EXTERNAL_DATA_BACKENDS),
            name=section.optional_text("name"),
            sha256=_sha256(section),
        )
        if item.local_data_path and item.local_data_path in taken:
            section.refuse("local_data_path", f"{item.local_data_path!r} is the path of another entry, too")
        taken.add(item.local_data_path)
        section.warn_unknown()
        items.append(item)
    return tuple(items)


def read_model_cache(top: Section) -> tuple[ModelCacheItem, ...]:
    """Reads `model_cache`, or its older name `hf_cache`."""
    sections = top.sections("model_cache")
    old = top.sections("hf_cache")
    if sections and old:
        top.refuse("hf_cache", "is the older name of model_cache, which stands there, too; write only model_cache")
    elif old:
        top.warn("hf_cache", "is deprecated; write `model_cache` instead")
    return tuple(_model_cache_item(section) for section in sections or old)


def read_weights(top: Section) -> tuple[WeightsItem, ...]:
    """Reads `weights`; two entries with one mount location are refused."""
    items = []
    mounted: set[str] = set()
    for section in top.sections("weights"):
        auth = section.mapping("auth")
        item = WeightsItem(
            source=_source(section),
            mount_location=_mount_location(section, mounted),
            auth=auth,
            auth_secret_name=_secret_of(section),
            allow_patterns=section.texts("allow_patterns"),
            ignore_patterns=section.texts("ignore_patterns"),
            sha256=_sha256(section),
        )
        section.warn_unknown()
        items.append(item)
    return tuple(items)


def _url(section: Section) -> str:
    url = section.required_text("url")
    if url and not re.match(r"(?i)https?://[^/\s]", url):
        section.refuse("url", f"must begin with http:// or https://, got {url!r}")
    return url


def _sha256(section: Section) -> str | None:
    digest = section.optional_text("sha256")
    if digest is not None and not re.fullmatch("[0-9a-fA-F]{64}", digest):
        section.refuse("sha256", f"must be 64 hexadecimal digits, got {digest!r}")
        return None
    return digest.lower() if digest else None


def _model_cache_item(section: Section) -> ModelCacheItem:
    item = ModelCacheItem(
        repo_id=section.required_text("repo_id"),
        revision=section.optional_text("revision"),
        allow_patterns=section.texts("allow_patterns"),
        ignore_patterns=section.texts("ignore_patterns"),
        volume_folder=section.optional_path("volume_folder", "/app/model_cache"),
        use_volume=section.boolean("use_volume", False),
        kind=cast(ModelCacheKind, section.choice("kind", "hf", MODEL_CACHE_KINDS)),
        runtime_secret_name=section.text("runtime_secret_name", SECRET_DEFAULT),
    )
    if item.use_volume and not section.has("volume_folder"):
        section.refuse("volume_folder", "is needed with use_volume: true; it names the folder below /app/model_cache")
    section.warn_unknown()
    return item


def _source(section: Section) -> str:
    source = section.required_text("source")
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):", source)
    if found and (found[1].lower() not in WEIGHTS_SCHEMES or not source.startswith("://", len(found[1]))):
        schemes = ", ".join(f"{scheme}://" for scheme in WEIGHTS_SCHEMES)
        section.refuse("source", f"must be a local path or begin with one of {schemes}, got {source!r}")
    return source


def _mount_location(section: Section, mounted: set[str]) -> str:
    location = section.required_text("mount_location")
    plain = location.rstrip("/")
    if location and (not location.startswith("/") or ".." in location.split("/") or "\0" in location or not plain):
        section.refuse("mount_location", f"must be an absolute path below /, without .., got {location!r}")
    elif location and plain in mounted:
        section.refuse("mount_location", f"{location!r} is the mount location of another entry, too")
    mounted.add(plain)
    return location


def _secret_of(section: Section) -> str | None:
    auth = section.inside("auth")
    method = (auth.optional_text("auth_method") or "").upper()
    outer, inner = section.optional_text("auth_secret_name"), auth.optional_text("auth_secret_name")
    if method and method not in AUTH_METHODS:
        auth.refuse(
            "auth_method", f"must be one of {', '.join(AUTH_METHODS)}, got {describe(auth.peek('auth_method'))}"
        )
    elif method == AUTH_METHODS[0] and not inner:
        auth.refuse("auth_secret_name", f"is missing; it is needed with auth_method {method}")
    elif method.endswith("_OIDC"):
        auth.warn("auth_method", "not used: there is no OIDC here; give a secret with auth_secret_name")
    if outer and inner:
        section.refuse("auth_secret_name", "stands inside auth, too; write it only once")
    for key in OIDC_KEYS:
        auth.value(key)
    auth.warn_unknown()
    return outer or inner
