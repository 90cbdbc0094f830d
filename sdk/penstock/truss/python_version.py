"""`python_version` of config.yaml (truss.md section 3)."""

from __future__ import annotations

import re

from penstock.truss.document import describe
from penstock.truss.section import Section

MINOR_MIN = 9
MINOR_MAX = 14
MINOR_DEPRECATED_MAX = 9
"""The newest version of Python 3 that Truss calls deprecated."""


def read_python_version(top: Section) -> str | None:
    """Reads `python_version`, written as py311 or 3.11; returns "3.11", or None when absent."""
    value = top.value("python_version")
    if value is None:
        return None
    written = str(value) if isinstance(value, float) else value
    found = re.fullmatch(r"(?:py)?3\.?([0-9]{1,2})", written.strip()) if isinstance(written, str) else None
    if found is None or not MINOR_MIN <= int(found[1]) <= MINOR_MAX:
        hint = '; YAML reads 3.10 as the number 3.1, so write "3.10"' if value == 3.1 else ""
        allowed = f"py3{MINOR_MIN} to py3{MINOR_MAX}, or 3.{MINOR_MIN} to 3.{MINOR_MAX}"
        top.refuse("python_version", f"must be {allowed}, got {describe(value)}{hint}")
        return None
    if int(found[1]) <= MINOR_DEPRECATED_MAX:
        top.warn("python_version", f"is deprecated: Python 3.{found[1]} gets no fixes any more")
    return f"3.{found[1]}"
