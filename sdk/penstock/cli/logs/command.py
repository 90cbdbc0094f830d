"""Carries out `penstock logs`."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable, Iterator

from penstock.api.control.v1 import admin_pb2
from penstock.cli import exit_status
from penstock.cli.connection import connected
from penstock.cli.logs.lines import Labels, readable

BUFFERED_MESSAGES = 64
"""Messages of the beginning that are looked at before the first line is shown: whether there are several origins."""


def show_logs(arguments: argparse.Namespace) -> int:
    """Prints lines until there are no more, or until it is interrupted. Returns the exit status.

    Raises:
        CommandError: There is no such target, or the controller cannot be reached.
    """
    request = admin_pb2.ReadLogsRequest(
        target=arguments.target, follow=arguments.follow, tail_lines=arguments.tail, build_only=arguments.build
    )
    with connected(arguments) as stub:
        responses: Iterable[admin_pb2.ReadLogsResponse] = stub.ReadLogs(request)
        labels = Labels()
        if not arguments.follow:
            labels, responses = _labels_of(iter(responses))
        for response in responses:
            for line in response.lines:
                print(labels.put(response.origin, line if arguments.raw else readable(line)), flush=arguments.follow)
    return exit_status.OK


def _labels_of(
    responses: Iterator[admin_pb2.ReadLogsResponse],
) -> tuple[Labels, Iterator[admin_pb2.ReadLogsResponse]]:
    first = list(itertools.islice(responses, BUFFERED_MESSAGES))
    return Labels(are_several=len({response.origin for response in first}) > 1), itertools.chain(first, responses)
