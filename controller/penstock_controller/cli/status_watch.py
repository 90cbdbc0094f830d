"""`controller status --watch`: every change, until someone ends it."""

from __future__ import annotations

import argparse
import sys
import textwrap
import time
from collections.abc import Callable, Mapping

from penstock.api.control.v1 import admin_pb2
from penstock_controller.cli import exit_status
from penstock_controller.cli.failures import CommandError
from penstock_controller.cli.looking import UnreachableError, get_status
from penstock_controller.cli.presentation import (
    TABLES,
    can_redraw,
    is_terminal,
    reader_is_gone,
    style_of,
    write,
    write_document,
)
from penstock_controller.cli.quantities import age
from penstock_controller.cli.render.documents import Document, document, lasting, status_document
from penstock_controller.cli.render.offline import DOWN
from penstock_controller.cli.render.selection import NotFoundError, only
from penstock_controller.cli.render.status import render_status, sort_titles
from penstock_controller.cli.render.style import Tone
from penstock_controller.cli.render.wording import printable
from penstock_controller.cli.screen import Screen

Status = admin_pb2.GetStatusResponse


def watch(arguments: argparse.Namespace, env: Mapping[str, str], *, rest: Callable[[float], None] = time.sleep) -> None:
    """Shows the status whenever it has changed, on a terminal also what time changes; does not return.

    A controller that goes away is waited for.

    Raises:
        CommandError: What was named does not exist at the first look, or the controller refuses.
        BrokenPipeError: Nobody reads any more.
    """
    show = _Pictures(arguments, env) if _redraws(arguments, env) else _Changes(arguments, env)
    known = False
    while True:
        try:
            status = get_status(arguments, env, arguments.timeout)
            show.status(_named(status, arguments.deployments, known=known))
            known = True
        except UnreachableError as exc:
            show.down(exc)
        if reader_is_gone(sys.stdout):
            raise BrokenPipeError
        rest(arguments.interval)


def _redraws(arguments: argparse.Namespace, env: Mapping[str, str]) -> bool:
    return arguments.output in TABLES and can_redraw(env, sys.stdout)


def _named(status: Status, names: list[str], *, known: bool) -> Status:
    try:
        return only(status, names)
    except NotFoundError as exc:
        if not known:
            raise CommandError(str(exc), exit_status.NOT_FOUND) from exc
        # It was there when the watch began and is removed now, or is not yet known to a controller that has restarted.
        return Status(controller=status.controller)


class _Pictures:
    """Draws the tables again and again."""

    def __init__(self, arguments: argparse.Namespace, env: Mapping[str, str]) -> None:
        self._arguments = arguments
        self._env = env
        self._screen = Screen(sys.stdout)
        self._last: Status | None = None
        self._last_wall = time.time()

    def status(self, status: Status) -> None:
        self._last, self._last_wall = status, time.time()
        self._screen.draw(self._tables(status))

    def down(self, error: CommandError) -> None:
        style = style_of(self._arguments, self._env, sortable=sort_titles())
        text = f"{style.paint(DOWN, Tone.BAD)}\n{textwrap.fill(printable(str(error)), style.width or 80)}\n"
        if self._last is not None:
            # Ages go on from the moment of the last answer: nothing is known of the time since.
            text += f"\nWhat it said {age(time.time() - self._last_wall)} ago:\n\n{self._tables(self._last)}"
        self._screen.draw(text)

    def _tables(self, status: Status) -> str:
        style = style_of(self._arguments, self._env, sortable=sort_titles())
        with_replicas = self._arguments.replicas or bool(self._arguments.deployments)
        return render_status(status, now_wall=self._last_wall, style=style, with_replicas=with_replicas)


class _Changes:
    """Writes a document per change; on a terminal that cannot redraw, the tables."""

    def __init__(self, arguments: argparse.Namespace, env: Mapping[str, str]) -> None:
        self._arguments = arguments
        self._env = env
        self._shown: Document | None = None

    def status(self, status: Status) -> None:
        shown = status_document(status)
        if not self._is_news(shown):
            return
        if self._arguments.output in TABLES and is_terminal(sys.stdout):
            style = style_of(self._arguments, self._env, sortable=sort_titles())
            write(
                render_status(status, now_wall=time.time(), style=style, with_replicas=self._arguments.replicas) + "\n"
            )
        else:
            self._write(shown)

    def down(self, error: CommandError) -> None:
        if self._is_news(document("ControllerDown", {})):
            if self._arguments.output in TABLES and is_terminal(sys.stdout):
                write(f"{DOWN}: {error}\n\n")
            else:
                self._write(document("ControllerDown", {"error": str(error)}))

    def _is_news(self, shown: Document) -> bool:
        before, self._shown = self._shown, lasting(shown)
        return before != self._shown

    def _write(self, shown: Document) -> None:
        if self._arguments.output == "yaml":
            write("---\n")
            write_document(shown, "yaml")
        else:
            write_document(shown, "jsonl")
