"""Chainlets that are Truss directories as they stand, and how other code reaches them."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import time
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple

from penstock.chains import registry
from penstock.chains.abc_chainlet import ABCChainlet, ChainletMetadata, EntityType
from penstock.chains.context import ServiceDescriptorUrls
from penstock.chains.errors import ChainsRuntimeError, ChainsUsageError, MissingDependencyError
from penstock.chains.names import CHAIN_API_KEY_SECRET
from penstock.chains.remote.runtime import ChainRuntime, Peers, installed
from penstock.truss import ConfigError, load_config

PEERS_TIMEOUT_S: Final = 60.0
"""Time that a handle waits for the platform to say where the other chainlets are, in seconds."""
_RUN_REMOTE: Final = "/run_remote"
_EDGE_POLL_S: Final = 0.1
_SERVICES_FILE: Final = Path("/etc/b10_dynamic_config/dynamic_chainlet_config")
"""Addresses of chainlets by display name, as JSON, where another platform than this one has written them."""


class TrussChainlet(ABCChainlet):
    """Base class of chainlets whose code is a Truss directory.

    The directory is deployed as it is, but for its `model_name`. Such a chainlet has no dependencies and is never the
    entrypoint. Who depends on it gets a `TrussHandle` and makes the calls itself, by HTTP or WebSocket:

        class Transcriber(chains.TrussChainlet):
            truss_dir = "./transcriber"

    Attributes:
        truss_dir: The directory, relative to the file with the class.
    """

    _entity_type: ClassVar[EntityType] = EntityType.TRUSS_CHAINLET
    truss_dir: ClassVar[str | os.PathLike[str]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.meta_data = ChainletMetadata()
        registry.register(cls)


def truss_directory(chainlet: type[TrussChainlet]) -> Path:
    """Returns the absolute path of the directory.

    Raises:
        ChainsUsageError: the class has none, or none can be made out.
    """
    declaring = next((cls for cls in chainlet.__mro__ if "truss_dir" in cls.__dict__), None)
    if declaring is None:
        raise ChainsUsageError(
            f"`TrussChainlet` subclass `{chainlet.__name__}` must declare a `truss_dir` class attribute pointing at "
            "the wrapped Truss directory."
        )
    given = declaring.__dict__["truss_dir"]
    if not isinstance(given, (str, Path)):
        raise ChainsUsageError(
            f"`TrussChainlet.truss_dir` must be a str or pathlib.Path, got `{type(given).__name__}`."
        )
    path = Path(given)
    if not path.is_absolute():
        try:
            path = Path(inspect.getfile(declaring)).parent / path
        except (OSError, TypeError):
            raise ChainsUsageError(
                f"`TrussChainlet` `{chainlet.__name__}` comes from no file, so its `truss_dir` must be absolute, "
                f"got `{given}`."
            ) from None
    return Path(os.path.abspath(path))


def check_truss_dir(chainlet: type[TrussChainlet]) -> list[str]:
    """Returns what is wrong with `truss_dir` and the directory that it names. Reads the directory's config.yaml."""
    try:
        directory = truss_directory(chainlet)
    except ChainsUsageError as exc:
        return [str(exc)]
    try:
        load_config(directory)
    except ConfigError as exc:
        return [
            f"`truss_dir` of `TrussChainlet` `{chainlet.__name__}` must be a Truss directory with a valid config.yaml, "
            f"got `{directory}`: {exc}"
        ]
    return []


class CallArgs(NamedTuple):
    """What an HTTP or WebSocket client needs for a call."""

    url: str
    headers: dict[str, str]


class TrussHandle:
    """Where another chainlet of the same chain is, for code that calls it by HTTP or WebSocket itself.

    It is what a dependency on a TrussChainlet is given as. Code of a plain Truss in a chain makes one of the name of
    any chainlet of the chain, or of its class.
    """

    def __init__(self, target: str | type[ABCChainlet]) -> None:
        """Asks the platform; off the event loop it may wait for the answer for up to `PEERS_TIMEOUT_S`.

        Raises:
            MissingDependencyError: there is no such chainlet, or this process runs in no chain.
            ChainsRuntimeError: the platform has not said yet where the chainlets are.
            TypeError: `target` is neither a name nor a class.
        """
        self._target: str | type[ABCChainlet] | None = target
        self._urls = get_service_urls(target)

    @classmethod
    def from_urls(cls, urls: ServiceDescriptorUrls | str) -> TrussHandle:
        """Returns a handle with fixed addresses, for tests: pass it by keyword under `run_local`.

        Args:
            urls: The addresses, or one URL that ends in `/run_remote`.
        """
        handle = cls.__new__(cls)
        handle.urls = ServiceDescriptorUrls(predict_url=urls) if isinstance(urls, str) else urls
        return handle

    def __repr__(self) -> str:
        return f"TrussHandle({self._urls!r})"

    @property
    def urls(self) -> ServiceDescriptorUrls:
        """Addresses of the chainlet, the newest that are known. What is assigned stays."""
        if self._target is not None and installed() is not None:
            try:
                self._urls = get_service_urls(self._target)
            except (ChainsRuntimeError, MissingDependencyError):
                pass  # the last known ones are the best guess
        return self._urls

    @urls.setter
    def urls(self, urls: ServiceDescriptorUrls) -> None:
        self._target = None
        self._urls = urls

    def http_call_args(
        self, *, prefer_internal: bool = False, sync_path: str | None = None, api_key: str | None = None
    ) -> CallArgs:
        """Returns URL and headers for HTTP requests.

        Args:
            prefer_internal: Takes the address inside the platform if there is one of its own.
            sync_path: Path at the chainlet's own server, instead of `run_remote`.
            api_key: Instead of the secret `baseten_chain_api_key`.

        Raises:
            MissingDependencyError: there is no API key, and it is not this platform that is called: it needs none.
        """
        urls = self.urls
        headers = self._authorization(api_key)
        internal = urls.internal_url
        if internal is not None and (prefer_internal or not urls.predict_url):
            return CallArgs(
                _with_path(internal.gateway_run_remote_url, sync_path), {**headers, "Host": internal.hostname}
            )
        return CallArgs(_with_path(urls.predict_url or "", sync_path), headers)

    def ws_call_args(self, *, sync_path: str | None = None, api_key: str | None = None) -> CallArgs:
        """Returns URL and headers for a WebSocket connection. Arguments and errors as of `http_call_args`.

        Raises:
            MissingDependencyError: there is only an address inside the platform, which takes no WebSockets.
        """
        public = self.urls.predict_url
        if not public:
            raise MissingDependencyError(
                "ServiceDescriptorUrls has no predict_url — WebSocket calls need the URL of the chain's host."
            )
        url = _with_path(public, sync_path, default="/websocket")
        scheme, _, rest = url.partition("://")
        return CallArgs(
            f"{ {'https': 'wss', 'http': 'ws'}.get(scheme, scheme) }://{rest}", self._authorization(api_key)
        )

    def _authorization(self, api_key: str | None) -> dict[str, str]:
        if api_key is None:
            try:
                api_key = get_baseten_chain_api_key()
            except MissingDependencyError:
                if self._target is not None and installed() is not None:
                    return {}
                raise
        return {"Authorization": f"Api-Key {api_key}"}


def get_service_urls(target: str | type[ABCChainlet]) -> ServiceDescriptorUrls:
    """Returns where a chainlet of this process's chain is, by its display name or class. Raises as `TrussHandle`."""
    if isinstance(target, str):
        name = target
    elif isinstance(target, type) and issubclass(target, ABCChainlet):
        name = target.display_name
    else:
        raise TypeError(
            "`get_service_urls` accepts a chainlet class or its display-name string, got "
            f"{getattr(target, '__name__', type(target).__name__)!r}."
        )
    runtime = installed()
    if runtime is None:
        return _urls_in_file(name)
    peers = _peers(runtime)
    peer = peers.chainlets.get(name)
    if peer is None:
        raise _no_sibling(name, peers.chainlets)
    return ServiceDescriptorUrls(
        predict_url=f"http://{peers.http_address}/chain/{peer.name}/deployment/{peer.deployment_id}{_RUN_REMOTE}"
    )


def get_baseten_chain_api_key() -> str:
    """Returns the secret `baseten_chain_api_key`.

    Raises:
        MissingDependencyError: there is none.
    """
    from penstock.weights.secret_lookup import SecretLookup

    try:
        return SecretLookup({}, env=os.environ)[CHAIN_API_KEY_SECRET]
    except KeyError:
        raise MissingDependencyError(
            f"No '{CHAIN_API_KEY_SECRET}' secret found at `/secrets` or via env var. "
            "Required for sibling-chainlet authorization; set the secret, or give `api_key`."
        ) from None


def _peers(runtime: ChainRuntime) -> Peers:
    """Returns peers with an address; waits for one where that blocks no event loop."""
    deadline = time.monotonic() + PEERS_TIMEOUT_S
    while True:
        peers = runtime.peers(max(0.0, deadline - time.monotonic()))
        if peers.http_address:
            return peers
        if _in_event_loop() or time.monotonic() >= deadline:
            raise ChainsRuntimeError(
                f"the chain {peers.chain!r} cannot be reached by HTTP now: no edge is connected to the controller"
            )
        time.sleep(_EDGE_POLL_S)


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _urls_in_file(name: str) -> ServiceDescriptorUrls:
    try:
        services = json.loads(_SERVICES_FILE.read_text("utf-8"))
    except (OSError, ValueError):
        services = None
    if not isinstance(services, dict):
        raise MissingDependencyError(
            f"Chainlet {name!r} cannot be looked up: this process runs in no chain. Under `run_local` pass a "
            "`TrussHandle.from_urls(…)` by keyword."
        )
    if name not in services:
        raise _no_sibling(name, services)
    return ServiceDescriptorUrls.model_validate(services[name])


def _no_sibling(name: str, known: Any) -> MissingDependencyError:
    return MissingDependencyError(f"No sibling chainlet named {name!r}. Available: {list(known)}.")


def _with_path(url: str, sync_path: str | None, default: str = _RUN_REMOTE) -> str:
    base = url.removesuffix(_RUN_REMOTE)
    if sync_path is not None:
        return f"{base}/sync/{sync_path.lstrip('/')}"
    return url if default == _RUN_REMOTE else base + default
