"""Carries out `penstock logs`."""

from __future__ import annotations

import argparse
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator

from penstock.api.control.v1 import admin_pb2, admin_pb2_grpc
from penstock.cli import exit_status
from penstock.cli.connection import connected, get_status
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
        labels = Labels(are_several=arguments.follow and not arguments.build and _are_several(stub, arguments.target))
        responses: Iterable[admin_pb2.ReadLogsResponse] = stub.ReadLogs(request)
        if not arguments.follow:
            labels, responses = _labels_of(iter(responses))
        for response in responses:
            for line in response.lines:
                print(labels.put(response.origin, line if arguments.raw else readable(line)), flush=arguments.follow)
    return exit_status.OK


def _are_several(stub: admin_pb2_grpc.AdminServiceStub, target: str) -> bool:
    """Whether a deployment has several logs now; a followed log cannot be looked at beforehand."""
    status = get_status(stub)
    logs = Counter[str]()
    for replica in status.replicas:
        logs[replica.deployment_id] += 1
    for deployment in status.deployments:
        logs[deployment.deployment_id] += bool(deployment.build_log_path)
    meant = {d.deployment_id for d in status.deployments if target in (d.name, d.deployment_id)}
    return any(logs[deployment_id] > 1 for deployment_id in meant)


def _labels_of(
    responses: Iterator[admin_pb2.ReadLogsResponse],
) -> tuple[Labels, Iterator[admin_pb2.ReadLogsResponse]]:
    first = list(itertools.islice(responses, BUFFERED_MESSAGES))
    return Labels(are_several=len({response.origin for response in first}) > 1), itertools.chain(first, responses)
