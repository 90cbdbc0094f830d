"""`base_image` of config.yaml (truss.md section 3)."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.truss.section import Section


@dataclass(frozen=True, slots=True)
class BaseImage:
    """The container image that the model was written for; nothing here runs in a container."""

    image: str = ""
    python_executable_path: str | None = None
    """Absolute path inside the image."""


def read_base_image(top: Section) -> BaseImage | None:
    """Reads `base_image`; None when absent."""
    section = top.section("base_image")
    image = section.optional_text("image") or ""
    python = section.optional_text("python_executable_path")
    if python is not None and not python.startswith("/"):
        section.refuse("python_executable_path", f"must be an absolute path, got {python!r}")
    if section.mapping("docker_auth"):
        section.warn("docker_auth", "not used: no image is pulled")
    section.warn_unknown()
    if not top.has("base_image"):
        return None
    if image or python:
        top.warn("base_image", "not used: models run without containers; what the image holds must be on this machine")
    return BaseImage(image, python)
