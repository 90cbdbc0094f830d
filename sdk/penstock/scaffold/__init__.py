"""The files of a new model, for `penstock init`."""

from __future__ import annotations

from penstock.scaffold.project import Kind, project_files

__all__ = ["Kind", "project_files"]
