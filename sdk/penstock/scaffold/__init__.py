"""The files of a new model or chain, for `penstock init` and `penstock chains init`."""

from __future__ import annotations

from penstock.scaffold.chain import chain_files
from penstock.scaffold.project import Kind, project_files

__all__ = ["Kind", "chain_files", "project_files"]
