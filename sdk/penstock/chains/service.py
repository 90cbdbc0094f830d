"""Deploys a chain from Python, and the handle of what was deployed."""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import tempfile
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.chains.chain_names import chain_slug
from penstock.chains.errors import ChainsDeploymentError, ChainsRuntimeError, ChainsUsageError

if TYPE_CHECKING:
    from rich import progress

    from penstock.api.control.v1 import admin_pb2_grpc, chain_pb2
    from penstock.chains.generated import GeneratedChain

ANSWER_S = 1200.0
"""Time for an answer of the entrypoint: as long as a deployment may take by default."""
ERROR_BYTES_MAX = 64 * 1024
PRODUCTION = "production"


@dataclass(frozen=True, slots=True)
class DeployedChainlet:
    """A chainlet that was deployed."""

    name: str
    """Its display name."""
    is_entrypoint: bool
    status: str
    """Where it is in its life: "BUILDING", "LOADING_MODEL", "ACTIVE", "SCALED_TO_ZERO", …"""
    logs_url: str
    """The command that shows its logs: they are files of this platform, and no web page."""


class ChainService:
    """A version of a chain that was deployed, or (`only_generate_trusses`) only written."""

    def __init__(
        self, name: str, *, controller: str | None = None, created: chain_pb2.CreatedChain | None = None, kind: str = ""
    ) -> None:
        """Made by `push`.

        Args:
            controller: Its address; None finds it as commands do.
            created: None when nothing was sent.
            kind: EndpointKind of the entrypoint.
        """
        self._name = name
        self._controller = controller
        self._created = created
        self._kind = kind

    def __repr__(self) -> str:
        return f"ChainService({self._name!r}, {self.chain_id!r})"

    @property
    def name(self) -> str:
        """Name under which the chain is served."""
        return self._name

    @property
    def chain_id(self) -> str:
        """Id of this version; empty when nothing was sent."""
        return self._created.chain_id if self._created is not None else ""

    @property
    def run_remote_url(self) -> str:
        """Where this version is called: over HTTP, or the WebSocket of an entrypoint that takes one.

        Raises:
            ChainsDeploymentError: No edge is connected, or nothing was sent.
        """
        from penstock.cli.chains.report import chain_url
        from penstock.cli.connection import get_status
        from penstock.cli.edges import edge_addresses

        created = self._deployed()
        with _connected(self._controller) as stub:
            edge = edge_addresses(get_status(stub)).http
        if not edge:
            raise ChainsDeploymentError("no edge is connected to the controller; start one")
        entrypoint = next(each.deployment_id for each in created.chainlets if each.is_entrypoint)
        # Of this version: an environment may point to another one.
        return chain_url(edge, self._name, self._kind, "", entrypoint)

    @property
    def status_page_url(self) -> str:
        """The command that shows the state of all chainlets: there is no web page."""
        return "controller status" if self._controller is None else f"controller status --address {self._controller}"

    def run_remote(self, json: dict[str, Any]) -> Any:
        """Calls the entrypoint, and returns its answer.

        A version that was just deployed may need longer to start than a call waits: see `get_info`.

        Args:
            json: The arguments by name.

        Raises:
            ChainsUsageError: The entrypoint takes a WebSocket.
            ChainsRuntimeError: It answered with an error.
            ChainsDeploymentError: It cannot be reached.
        """
        url = self.run_remote_url
        if not url.startswith("http"):
            raise ChainsUsageError(f"the entrypoint of {self._name} takes a WebSocket; connect to {url}")
        return _post(url, json)

    def get_info(self) -> list[DeployedChainlet]:
        """Returns every chainlet and its state.

        Raises:
            ChainsDeploymentError: The controller cannot be reached, or nothing was sent.
        """
        from penstock.cli.connection import get_status

        created = self._deployed()
        with _connected(self._controller) as stub:
            phases = {item.deployment_id: item.phase for item in get_status(stub).deployments}
        return [
            DeployedChainlet(
                name=each.name,
                is_entrypoint=each.is_entrypoint,
                status=phases.get(each.deployment_id, "INACTIVE"),
                logs_url=f"penstock logs {each.deployment_id}",
            )
            for each in created.chainlets
        ]

    def _deployed(self) -> chain_pb2.CreatedChain:
        if self._created is None:
            raise ChainsDeploymentError(f"{self._name} was only generated, not deployed")
        return self._created


def push(
    entrypoint: type,
    chain_name: str,
    publish: bool = True,
    promote: bool = True,
    only_generate_trusses: bool = False,
    remote: str | None = "baseten",
    environment: str | None = None,
    progress_bar: type[progress.Progress] | None = None,
    include_git_info: bool = False,
    disable_chain_download: bool = False,
) -> ChainService:
    """Deploys a chain: one deployment per chainlet. Returns at once; the chainlets start then.

    Args:
        entrypoint: The chainlet that clients call.
        chain_name: "My Chain" is served as my-chain.
        publish: False points no environment at it, but for the first of its name.
        promote: Production points to it as soon as every chainlet is ready.
        only_generate_trusses: Only writes the Trusses, below the folder for temporary files.
        remote: Address of a controller, HOST:PORT or unix:PATH. None, and a name such as "baseten", take the
            controller that commands find.
        environment: That points to it as soon as every chainlet is ready; wins over `promote`.
        progress_bar: A class of `rich.progress`, to be shown meanwhile.
        include_git_info: Accepted without effect.
        disable_chain_download: Accepted without effect.

    Raises:
        ChainsUsageError: A class breaks a rule.
        ChainsDeploymentError: The controller cannot be reached, or refuses the chain.
    """
    from penstock.chains.dry_run import dry_run_folder
    from penstock.chains.generated import write_chain

    if only_generate_trusses:
        chain = write_chain(entrypoint, None, dry_run_folder(chain_slug(chain_name)), chain_name)
        return ChainService(chain.name)
    target = environment or (PRODUCTION if promote and publish else "")
    controller = remote if remote is not None and (":" in remote) else None
    with tempfile.TemporaryDirectory(prefix="penstock-chain-") as folder:
        chain = write_chain(entrypoint, None, Path(folder), chain_name)
        for warning in chain.warnings:
            warnings.warn(warning, stacklevel=2)
        created = _deploy(chain, target, controller, progress_bar)
    return ChainService(chain.name, controller=controller, created=created, kind=chain.entrypoint.kind)


def _deploy(
    chain: GeneratedChain, environment: str, controller: str | None, progress_bar: type[progress.Progress] | None
) -> chain_pb2.CreatedChain:
    from penstock.cli.chains.deploying import create_chain, spec_of, upload_chainlet
    from penstock.cli.progress_line import ProgressLine

    artifacts: dict[str, str] = {}
    with _connected(controller) as stub, progress_bar() if progress_bar is not None else nullcontext() as bar:
        task = bar.add_task(f"{chain.name}: sending", total=len(chain.chainlets) + 1) if bar is not None else None
        with _silence(is_silent=bar is not None) as stream:
            for chainlet in chain.chainlets:
                artifacts[chainlet.display_name] = upload_chainlet(stub, chainlet, ProgressLine(stream))
                if bar is not None and task is not None:
                    bar.update(task, advance=1)
        created = create_chain(stub, spec_of(chain, environment=environment, artifacts=artifacts))
        if bar is not None and task is not None:
            bar.update(task, advance=1, description=f"{chain.name}: deployed")
    return created


@contextmanager
def _silence(*, is_silent: bool) -> Iterator[Any]:
    if not is_silent:
        yield sys.stderr
        return
    with Path("/dev/null").open("w") as nowhere:
        yield nowhere


@contextmanager
def _connected(controller: str | None) -> Iterator[admin_pb2_grpc.AdminServiceStub]:
    from penstock.cli.command_error import CommandError
    from penstock.cli.connection import connected

    try:
        with connected(argparse.Namespace(controller=controller, state_dir=None)) as stub:
            yield stub
    except CommandError as exc:
        raise ChainsDeploymentError(str(exc)) from None


def _post(url: str, content: Any) -> Any:
    request = urllib.request.Request(
        url, data=json.dumps(content).encode(), headers={"Content-Type": "application/json"}, method="POST"
    )
    # An edge is reached directly, whatever proxies the environment names.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=ANSWER_S) as response:
            body = response.read()
            is_json = "json" in response.headers.get("Content-Type", "")
    except urllib.error.HTTPError as exc:
        with exc:
            raise ChainsRuntimeError(_error_text(exc.code, exc.read(ERROR_BYTES_MAX))) from None
    except (OSError, http.client.HTTPException) as exc:
        raise ChainsDeploymentError(f"{url} cannot be reached: {exc}") from None
    return json.loads(body) if is_json else body.decode("utf-8", "replace")


def _error_text(status: int, body: bytes) -> str:
    from penstock.chains.remote.rpc_errors import RemoteErrorDetail

    text = body.decode("utf-8", "replace")
    try:
        error = json.loads(text)["error"]
        text = RemoteErrorDetail.model_validate(error).format() if isinstance(error, dict) else str(error)
    except (ValueError, KeyError, TypeError):
        pass
    return f"HTTP status {status}: {text}"
