"""Chainlets that are Truss directories: where the directory is, and how siblings find one another."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock import chains
from penstock.chains import truss_chainlet
from penstock.chains.context import InternalURL, ServiceDescriptorUrls
from penstock.chains.errors import ChainsRuntimeError, ChainsUsageError, MissingDependencyError
from penstock.chains.remote import runtime
from penstock.chains.remote.runtime import Peer, Peers
from penstock.chains.truss_chainlet import (
    CallArgs,
    TrussHandle,
    check_truss_dir,
    get_baseten_chain_api_key,
    get_service_urls,
    truss_directory,
)

pytestmark = pytest.mark.usefixtures("fresh_registry")

KEY = "TRUSS_SECRET_baseten_chain_api_key"
WITH_KEY = {"Authorization": "Api-Key K"}


_numbers = itertools.count()


def wrapping(directory: object) -> type[chains.TrussChainlet]:
    return type(f"Wrapped{next(_numbers)}", (chains.TrussChainlet,), {"truss_dir": directory})


# The directory


def test_the_directory_is_relative_to_the_file_that_declares_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "chainlets_of_test.py").write_text(
        "from penstock import chains\nclass Wrapped(chains.TrussChainlet):\n    truss_dir = '../truss'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "sub"))
    from chainlets_of_test import Wrapped  # type: ignore[import-not-found]  # written above

    class Elsewhere(Wrapped):  # type: ignore[misc]  # the base has no type
        pass

    assert truss_directory(Wrapped) == truss_directory(Elsewhere) == tmp_path / "truss"


def test_a_truss_directory_is_fine(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("model_name: x\n")
    assert check_truss_dir(wrapping(tmp_path)) == check_truss_dir(wrapping(str(tmp_path))) == []


def test_what_is_wrong_with_the_directory_is_said(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("resources: [\n")
    assert check_truss_dir(type("None_", (chains.TrussChainlet,), {})) == [
        "`TrussChainlet` subclass `None_` must declare a `truss_dir` class attribute pointing at the wrapped Truss "
        "directory."
    ]
    assert check_truss_dir(wrapping(3)) == ["`TrussChainlet.truss_dir` must be a str or pathlib.Path, got `int`."]
    (missing,) = check_truss_dir(wrapping(tmp_path / "missing"))
    assert f"got `{tmp_path / 'missing'}`: " in missing and "there is no folder" in missing
    (invalid,) = check_truss_dir(wrapping(tmp_path))
    assert "valid config.yaml" in invalid and "config.yaml:2:1: not valid YAML" in invalid


def test_it_is_never_the_entrypoint(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("model_name: x\n")

    @chains.mark_entrypoint
    class Wrapped(chains.TrussChainlet):
        truss_dir = tmp_path

    with pytest.raises(ChainsUsageError, match="TrussChainlet cannot be a chain entrypoint"), chains.run_local():
        pytest.fail("the body must not run")


# Siblings


class FakeRuntime:
    """A runner's, whose controller has said `peers`."""

    def __init__(self, peers: Peers) -> None:
        self.now = peers
        self.loop: Any = None

    def peers(self, timeout_s: float) -> Peers:
        if timeout_s < 0:
            raise AssertionError("the time must not be negative")
        return self.now

    def transport(self, deployment_id: str) -> Any:
        raise AssertionError("handles open no transports")


def peers(http_address: str = "edge:8000") -> Peers:
    named = {
        "Top": Peer("Top", "hello-1a2b3c4d", "hello"),
        "nice-name": Peer("nice-name", "hello.nice-name-1a2b3c4d", "hello.nice-name"),
    }
    return Peers("hello", "hello-1a2b3c4d", named, ("edge:9000",), http_address)


@pytest.fixture
def platform() -> Iterator[FakeRuntime]:
    fake = FakeRuntime(peers())
    runtime.install(fake)
    try:
        yield fake
    finally:
        runtime.install(None)


INNER = "edge:8000/chain/hello.nice-name/deployment/hello.nice-name-1a2b3c4d"


@pytest.mark.usefixtures("platform")
def test_a_handle_gives_what_clients_need() -> None:
    handle = TrussHandle("nice-name")
    assert handle.http_call_args() == CallArgs(f"http://{INNER}/run_remote", {})
    assert handle.ws_call_args() == CallArgs(f"ws://{INNER}/websocket", {})
    assert handle.http_call_args(prefer_internal=True).url == f"http://{INNER}/run_remote"
    for path in ("v1/models", "/v1/models"):
        assert handle.http_call_args(sync_path=path).url == f"http://{INNER}/sync/v1/models"
        assert handle.ws_call_args(sync_path=path).url == f"ws://{INNER}/sync/v1/models"
    assert handle.http_call_args(sync_path="").url == f"http://{INNER}/sync/"


@pytest.mark.usefixtures("platform")
def test_a_class_is_as_good_as_its_display_name(tmp_path: Path) -> None:
    class Wrapped(chains.TrussChainlet):
        truss_dir = tmp_path
        remote_config = chains.RemoteConfig(name="nice-name")

    assert get_service_urls(Wrapped) == get_service_urls("nice-name")
    with pytest.raises(TypeError, match=r"accepts a chainlet class or its display-name string, got 'int'\."):
        TrussHandle(3)  # type: ignore[arg-type]  # that is the mistake


@pytest.mark.usefixtures("platform")
def test_an_unknown_sibling_names_those_that_are_there() -> None:
    with pytest.raises(MissingDependencyError) as caught:
        TrussHandle("zzz")
    assert str(caught.value) == "No sibling chainlet named 'zzz'. Available: ['Top', 'nice-name']."


@pytest.mark.usefixtures("platform")
def test_the_api_key_is_sent_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    handle = TrussHandle("Top")
    assert handle.http_call_args(api_key="K").headers == WITH_KEY
    monkeypatch.setenv(KEY, "K")
    assert handle.http_call_args().headers == handle.ws_call_args().headers == WITH_KEY
    assert get_baseten_chain_api_key() == "K"


def test_a_handle_follows_the_edges(platform: FakeRuntime) -> None:
    handle = TrussHandle("Top")
    platform.now = peers("other:8000")
    assert handle.ws_call_args().url == "ws://other:8000/chain/hello/deployment/hello-1a2b3c4d/websocket"
    platform.now = peers("")

    async def on_the_loop() -> str:
        return handle.ws_call_args().url

    # Nobody knows an edge for the moment: the last one is the best guess.
    assert asyncio.run(on_the_loop()).startswith("ws://other:8000/")


def test_off_the_loop_a_handle_waits_for_an_edge(platform: FakeRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    def edge_comes(seconds: float) -> None:
        platform.now = peers()

    platform.now = peers("")
    monkeypatch.setattr("penstock.chains.truss_chainlet.time.sleep", edge_comes)
    assert TrussHandle("Top").urls.predict_url is not None


def test_on_the_loop_a_handle_does_not_wait(platform: FakeRuntime) -> None:
    async def scenario() -> None:
        platform.now = peers("")
        with pytest.raises(ChainsRuntimeError, match="no edge is connected"):
            TrussHandle("Top")

    asyncio.run(scenario())


# Without a platform


def test_outside_of_chains_there_are_no_siblings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(truss_chainlet, "_SERVICES_FILE", tmp_path / "none")
    monkeypatch.delenv(KEY, raising=False)
    with pytest.raises(MissingDependencyError, match="this process runs in no chain"):
        TrussHandle("Top")
    with pytest.raises(MissingDependencyError, match="No 'baseten_chain_api_key' secret found"):
        get_baseten_chain_api_key()


def test_addresses_that_another_platform_has_written_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "dynamic_chainlet_config"
    internal = {"gateway_run_remote_url": "https://gateway/environments/production/run_remote", "hostname": "chain-x"}
    both = {"predict_url": "https://chain-x/environments/production/run_remote", "internal_url": internal}
    file.write_text(json.dumps({"Top": both, "Inner": {"internal_url": internal}}))
    monkeypatch.setattr(truss_chainlet, "_SERVICES_FILE", file)
    handle = TrussHandle("Top")
    assert handle.ws_call_args(api_key="K") == ("wss://chain-x/environments/production/websocket", WITH_KEY)
    assert handle.http_call_args(api_key="K").url == "https://chain-x/environments/production/run_remote"
    gateway = ("https://gateway/environments/production/sync/x", {**WITH_KEY, "Host": "chain-x"})
    assert handle.http_call_args(api_key="K", prefer_internal=True, sync_path="x") == gateway
    inner = TrussHandle("Inner")
    assert inner.http_call_args(api_key="K", sync_path="x") == gateway
    with pytest.raises(MissingDependencyError, match="has no predict_url"):
        inner.ws_call_args(api_key="K")
    with pytest.raises(MissingDependencyError, match=r"Available: \['Top', 'Inner'\]"):
        TrussHandle("zzz")


def test_handles_of_tests_have_fixed_addresses() -> None:
    handle = TrussHandle.from_urls("http://localhost:1/run_remote")
    assert handle.ws_call_args(api_key="K").url == "ws://localhost:1/websocket"
    handle.urls = ServiceDescriptorUrls(internal_url=InternalURL(gateway_run_remote_url="http://g", hostname="h"))
    assert handle.http_call_args(api_key="K") == ("http://g", {**WITH_KEY, "Host": "h"})
    with pytest.raises(MissingDependencyError, match="baseten_chain_api_key"):
        handle.http_call_args()
