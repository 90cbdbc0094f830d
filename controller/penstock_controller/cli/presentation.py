"""Options on how the reading commands show things, and what the terminal can."""

from __future__ import annotations

import argparse
import os
import select
import sys
from collections.abc import Collection, Mapping
from typing import TextIO

from penstock_controller.cli import exit_status
from penstock_controller.cli.failures import CommandError
from penstock_controller.cli.render.documents import Document, to_json, to_json_line, to_yaml
from penstock_controller.cli.render.style import Style

FORMATS = ("table", "wide", "json", "yaml", "jsonl")
TABLES = frozenset({"table", "wide"})


def add_presentation(parser: argparse.ArgumentParser, *, sortable: bool = True) -> None:
    """Adds -o, --no-headers, --no-color and, for tables that can be sorted, --sort-by."""
    parser.add_argument("-o", "--output", choices=FORMATS, default="table", help="default: %(default)s")
    parser.add_argument("--no-headers", action="store_true", help="tables without their titles")
    parser.add_argument("--no-color", action="store_true", help="no colours; NO_COLOR and TERM=dumb do the same")
    if sortable:
        parser.add_argument(
            "--sort-by", default="", metavar="COLUMN", help="title of a column; =-COLUMN turns the order around"
        )


def style_of(
    arguments: argparse.Namespace, env: Mapping[str, str], *, sortable: Collection[str] = (), out: TextIO | None = None
) -> Style:
    """Returns how tables are to be shown on `out`, by default the standard output.

    Raises:
        CommandError: --sort-by names no column among `sortable`.
    """
    out = out or sys.stdout
    sort_by: str = getattr(arguments, "sort_by", "")
    title = sort_by.removeprefix("-").upper().replace("-", " ").replace("_", " ")
    if sort_by and title not in sortable:
        raise CommandError(
            f"--sort-by {sort_by}: there is no such column; there are: {', '.join(sorted(sortable))}", exit_status.USAGE
        )
    on_terminal = is_terminal(out)
    return Style(
        color=on_terminal and not arguments.no_color and not env.get("NO_COLOR") and env.get("TERM") != "dumb",
        unicode=has_unicode(env, out),
        wide=arguments.output == "wide",
        headers=not arguments.no_headers,
        width=terminal_size(out)[0] if on_terminal else None,
        sort_by=("-" if sort_by.startswith("-") else "") + title,
    )


def is_terminal(out: TextIO) -> bool:
    return out.isatty()


def can_redraw(env: Mapping[str, str], out: TextIO) -> bool:
    """Whether the cursor can be moved."""
    return is_terminal(out) and env.get("TERM") not in {None, "", "dumb"}


def terminal_size(out: TextIO) -> tuple[int, int]:
    """Returns columns and lines; 80 and 24 when the terminal does not tell."""
    try:
        size = os.get_terminal_size(out.fileno())
    except (OSError, ValueError):
        return 80, 24
    return size.columns or 80, size.lines or 24


def has_unicode(env: Mapping[str, str], out: TextIO) -> bool:
    """Whether arrows and the like can be shown: Python writes UTF-8 also in the C locale, where a terminal may not."""
    locale = env.get("LC_ALL") or env.get("LC_CTYPE") or env.get("LANG") or ""
    names = (locale, out.encoding or "")
    return all("utf8" in name.lower().replace("-", "") for name in names)


def reader_is_gone(out: TextIO) -> bool:
    """Whether nobody can read `out` any more. Someone who writes rarely would not notice for long."""
    try:
        watched = select.poll()
        watched.register(out.fileno(), 0)
        return bool(watched.poll(0))
    except (OSError, ValueError):
        # It is no file, as in a test.
        return False


def write(text: str, out: TextIO | None = None) -> None:
    """Writes text as it is, and what the output cannot encode as escapes; at once, for those that follow a pipe."""
    out = out or sys.stdout
    encoding = out.encoding or "utf-8"
    out.write(text.encode(encoding, "backslashreplace").decode(encoding))
    out.flush()


def write_document(value: Document, output: str) -> None:
    """Writes a document in one of the formats that are not tables."""
    if output == "yaml":
        write(to_yaml(value) + "\n")
    else:
        write((to_json(value) if output == "json" else to_json_line(value)) + "\n")
