"""What config.yaml asks for: each file or folder, where it comes from and where it goes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path, PurePosixPath

from penstock.truss import TrussConfig
from penstock.truss.assets import SECRET_DEFAULT, ExternalData, ModelCacheItem, WeightsItem
from penstock.weights.errors import WeightsError
from penstock.weights.patterns import Patterns
from penstock.weights.safe_paths import mount_path, relative_name
from penstock.weights.sources import BucketSource, HttpSource, HubSource, LocalSource, Source, read_hub, read_source

VOLUME_FOLDER = "/app/model_cache"
"""Where `model_cache` goes in Truss."""
KIND_SCHEMES = {"gcs": "gs", "s3": "s3", "azure": "azure"}


@dataclass(frozen=True, slots=True)
class DataPath:
    """A path in the data folder of the deployment."""

    name: PurePosixPath

    def __str__(self) -> str:
        return str(self.name)


@dataclass(frozen=True, slots=True)
class MountPath:
    """An absolute path of the machine."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, slots=True)
class HubCachePath:
    """The cache of huggingface_hub, where from_pretrained looks."""

    def __str__(self) -> str:
        return "the cache of huggingface_hub"


Place = DataPath | MountPath | HubCachePath


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One entry of `external_data`, `model_cache` or `weights`."""

    key: str
    """For example "weights[0]"."""
    source_key: str
    """For errors of the source."""
    source: Source
    place_key: str
    """For errors of the place."""
    place: Place
    patterns: Patterns
    sha256: str | None
    """Of a source that is one file, in lower-case hexadecimal."""
    secret_name: str | None
    secret_key: str
    """For errors of the secret."""
    needs_secret: bool
    """The source is not tried without it."""

    @property
    def link_is_file(self) -> bool:
        """Whether one file takes the place itself; otherwise the place is a folder that holds the file.

        A mount location says by its ending what it means: /models/x.bin for …/weights.bin is the file.
        """
        if not isinstance(self.place, MountPath):
            return True
        name = _file_name(self.source)
        return PurePosixPath(name).suffix == self.place.path.suffix


def needs_files(config: TrussConfig) -> bool:
    """Whether a deployment needs files beside its own folder."""
    return bool(config.external_data or config.model_cache or config.weights)


def read_items(config: TrussConfig, model_dir: Path) -> tuple[Item, ...]:
    """Returns what `config` asks for.

    Raises:
        WeightsError: a source or a place is not valid, or two places overlap.
    """
    items = (
        *(_external_data(item, f"external_data[{n}]", model_dir) for n, item in enumerate(config.external_data)),
        *(_model_cache(item, f"model_cache[{n}]", model_dir) for n, item in enumerate(config.model_cache)),
        *(_weights(item, f"weights[{n}]", model_dir) for n, item in enumerate(config.weights)),
    )
    _check_places(items)
    return items


def _external_data(item: ExternalData, key: str, model_dir: Path) -> Item:
    if item.backend != "http_public":
        raise WeightsError(f"{key}.backend", f"{item.backend!r} is unknown; there is only http_public")
    source = read_source(item.url, key=f"{key}.url", model_dir=model_dir)
    return Item(
        key=key,
        source_key=f"{key}.url",
        source=source,
        place_key=f"{key}.local_data_path",
        place=DataPath(relative_name(item.local_data_path, f"{key}.local_data_path")),
        patterns=Patterns(),
        sha256=_sha256(item.sha256, source, key),
        secret_name=None,
        secret_key=key,
        needs_secret=False,
    )


def _weights(item: WeightsItem, key: str, model_dir: Path) -> Item:
    source = read_source(item.source, key=f"{key}.source", model_dir=model_dir)
    default = SECRET_DEFAULT if isinstance(source, HubSource) else None
    return Item(
        key=key,
        source_key=f"{key}.source",
        source=source,
        place_key=f"{key}.mount_location",
        place=MountPath(mount_path(item.mount_location, f"{key}.mount_location")),
        patterns=Patterns(item.allow_patterns, item.ignore_patterns),
        sha256=_sha256(item.sha256, source, key),
        secret_name=item.auth_secret_name or default,
        secret_key=f"{key}.auth_secret_name",
        needs_secret=item.auth_secret_name is not None,
    )


def _model_cache(item: ModelCacheItem, key: str, model_dir: Path) -> Item:
    source_key = f"{key}.repo_id"
    scheme = KIND_SCHEMES.get(item.kind)
    text = item.repo_id
    source: Source
    if "://" in text or text.startswith(("/", "./")):
        source = read_source(text, key=source_key, model_dir=model_dir)
        if isinstance(source, HubSource):
            source = read_hub(text.partition("://")[2], key=source_key, revision=item.revision)
    elif scheme:
        source = read_source(f"{scheme}://{text}", key=source_key, model_dir=model_dir)
    else:
        source = read_hub(text, key=source_key, revision=item.revision)
    return Item(
        key=key,
        source_key=source_key,
        source=source,
        place_key=f"{key}.volume_folder" if item.use_volume else key,
        place=_model_cache_place(item, source, key),
        patterns=Patterns(item.allow_patterns, item.ignore_patterns),
        sha256=_sha256(None, source, key),
        secret_name=item.runtime_secret_name,
        secret_key=f"{key}.runtime_secret_name",
        needs_secret=item.runtime_secret_name != SECRET_DEFAULT,
    )


def _model_cache_place(item: ModelCacheItem, source: Source, key: str) -> Place:
    if item.use_volume:
        folder_key = f"{key}.volume_folder"
        if not item.volume_folder:
            raise WeightsError(folder_key, f"is needed with use_volume; it names the folder below {VOLUME_FOLDER}")
        return MountPath(Path(VOLUME_FOLDER, relative_name(item.volume_folder, folder_key)))
    match source:
        case HubSource():
            return HubCachePath()
        case BucketSource():
            return MountPath(Path(VOLUME_FOLDER, relative_name(source.path, f"{key}.repo_id")))
        case HttpSource() | LocalSource():
            return MountPath(Path(VOLUME_FOLDER, relative_name(_file_name(source), f"{key}.repo_id")))


def _file_name(source: Source) -> str:
    match source:
        case LocalSource():
            return source.path.name
        case HttpSource():
            return source.file_name
        case HubSource():
            return source.repo
        case BucketSource():
            return source.path.rpartition("/")[2]


def _sha256(written: str | None, source: Source, key: str) -> str | None:
    inside = source.sha256 if isinstance(source, HttpSource) else None
    if written and inside and written != inside:
        raise WeightsError(f"{key}.sha256", "differs from the #sha256= of the URL")
    return written or inside


def _check_places(items: Iterable[Item]) -> None:
    """A place inside of another would be written into files that all deployments share."""
    placed = [(item, parts) for item in items if (parts := _parts(item.place))]
    for (one, first), (other, second) in combinations(placed, 2):
        shorter = min(len(first), len(second))
        if first[:shorter] == second[:shorter]:
            how = "is that of" if first == second else "overlaps with"
            raise WeightsError(other.place_key, f"{other.place} {how} {one.key} ({one.place})")


def _parts(place: Place) -> tuple[str, ...]:
    match place:
        case DataPath():
            return ("data", *place.name.parts)
        case MountPath():
            return place.path.parts
        case HubCachePath():
            return ()
