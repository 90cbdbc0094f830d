"""The folder layout in which huggingface_hub finds a repository without asking the Hub for its files.

models--OWNER--NAME/snapshots/COMMIT/FILE   the files
models--OWNER--NAME/refs/REVISION           holds the COMMIT that a branch or tag stood for
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from penstock.state_dir import write_atomically
from penstock.weights.errors import WeightsError
from penstock.weights.placing import put_link
from penstock.weights.sources import HubSource


def snapshot_folder(hub_cache: Path, repo: str, commit: str) -> Path:
    """Returns the folder of the files of one commit."""
    return _repository(hub_cache, repo) / "snapshots" / commit


def put_snapshot(
    hub_cache: Path,
    source: HubSource,
    commit: str,
    files: Path,
    names: Iterable[str],
    *,
    key: str,
    is_ours: Callable[[Path], bool],
) -> dict[str, str]:
    """Links the files below `files` into the layout; files that huggingface_hub has already put there stay.

    Returns:
        The links that lead to `files`, with their targets.

    Raises:
        WeightsError: the layout cannot be written.
    """
    folder = snapshot_folder(hub_cache, source.repo, commit)
    links = {}
    for name in names:
        link, target = folder / name, files / name
        if link.is_file() and not is_ours(link):
            continue
        put_link(link, target, key=key, is_ours=lambda path: is_ours(path) or not path.exists())
        links[str(link)] = str(target)
    write_reference(hub_cache, source, commit, key=key)
    return links


def write_reference(hub_cache: Path, source: HubSource, commit: str, *, key: str) -> None:
    """Says that the revision of `source` stands for `commit`."""
    if source.revision == commit:
        return
    reference = _repository(hub_cache, source.repo) / "refs" / source.revision
    try:
        reference.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(reference, commit)
    except OSError as exc:
        raise WeightsError(key, f"{reference} cannot be written: {exc.strerror or exc}") from exc


def _repository(hub_cache: Path, repo: str) -> Path:
    return hub_cache / f"models--{repo.replace('/', '--')}"
