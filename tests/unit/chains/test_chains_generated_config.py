from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from penstock import chains
from penstock.chains import registry
from penstock.chains.errors import ChainsUsageError
from penstock.chains.generated_config import Place, config_of, config_text, config_warnings, python_version
from penstock.chains.generated_requirements import WantedPackages
from penstock.chains.truss_config import ExternalDataItem, HealthChecks, ModelRepo, WebsocketOptions, WeightsSource
from penstock_testing.chain_kit import Define

PLACE = Place("hello", "hello.Part", "my_chain", "Part", False)


Config = Callable[..., dict[str, Any]]


@pytest.fixture
def config(define: Define) -> Config:
    """Returns what config.yaml says of a chainlet with a `remote_config`."""

    def make(
        remote_config: chains.RemoteConfig | None = None,
        packages: WantedPackages | None = None,
        signature: str = "x: int) -> int",
    ) -> dict[str, Any]:
        part = define(f"class Part(chains.ChainletBase):\n    async def run_remote(self, {signature}: ...\n").Part
        if remote_config is not None:
            part.remote_config = remote_config
        return config_of(registry.describe(part), PLACE, packages or WantedPackages(), version=None, external=())

    return make


def options(**given: Any) -> chains.RemoteConfig:
    return chains.RemoteConfig(options=chains.ChainletOptions(**given))


def test_a_chainlet_that_asks_for_nothing_says_who_it_is(config: Config) -> None:
    found = config()
    assert sorted(found) == ["model_metadata", "model_name", "penstock", "resources", "runtime"]
    assert found["model_metadata"]["chains_metadata"] == {
        "chain": "hello",
        "chainlet": "Part",
        "class": "Part",
        "module": "my_chain",
        "is_entrypoint": False,
    }


def test_what_it_asks_for_is_written(config: Config) -> None:
    found = config(
        chains.RemoteConfig(
            docker_image=chains.DockerImage(apt_requirements=["ffmpeg"]),
            compute=chains.Compute(cpu_count=3, memory="4Gi", gpu="L4", gpu_count=2, predict_concurrency="cpu_count"),
            assets=chains.Assets(
                secret_keys=["token"],
                cached=[ModelRepo(repo_id="a/b")],
                external_data=[ExternalDataItem(url="https://x/y", local_data_path="y")],
                weights=[WeightsSource(source="hf://a/b@c", mount_location="/w")],
            ),
            build_commands=["make"],
        ),
        WantedPackages(lines=("numpy",)),
    )
    assert found["system_packages"] == ["ffmpeg"]
    assert found["resources"] == {"cpu": "3", "memory": "4Gi", "accelerator": "L4:2", "use_gpu": True}
    assert found["runtime"]["predict_concurrency"] == 3
    assert found["secrets"] == {"token": None}
    assert found["model_cache"][0]["repo_id"] == "a/b"
    assert found["external_data"][0]["local_data_path"] == "y"
    assert found["weights"] == [{"source": "hf://a/b@c", "mount_location": "/w"}]
    assert (found["build_commands"], found["requirements"]) == (["make"], ["numpy"])


def test_options_are_written(config: Config) -> None:
    found = config(
        options(
            env_variables={"A": "b"},
            streaming_read_timeout=7,
            health_checks=HealthChecks(startup_threshold_seconds=70),
            transport=WebsocketOptions(ping_interval_seconds=3.0),
            enable_debug_logs=True,
        )
    )
    assert found["environment_variables"] == {"A": "b"}
    assert found["runtime"] == {
        "predict_concurrency": 1,
        "streaming_read_timeout": 7,
        "health_checks": {"startup_threshold_seconds": 70},
        "transport": {"kind": "websocket", "ping_interval_seconds": 3.0},
        "enable_debug_logs": True,
    }


def test_an_entrypoint_with_a_websocket_is_a_websocket_model(config: Config) -> None:
    found = config(signature="websocket: chains.WebSocketProtocol) -> None")
    assert found["runtime"]["transport"] == {"kind": "websocket"}


def test_metadata_may_hold_settings_of_this_platform(config: Config) -> None:
    found = config(
        options(metadata={"mine": 1, "penstock": {"limits": {"idle_timeout": 5}, "cancel_on_disconnect": False}})
    )
    assert found["model_metadata"]["mine"] == 1
    assert "penstock" not in found["model_metadata"]
    assert found["penstock"]["cancel_on_disconnect"] is False
    assert found["penstock"]["limits"]["idle_timeout"] == 5
    assert found["penstock"]["limits"]["disconnect_grace"] == 0.02


def test_calls_wait_for_an_inner_chainlet_as_long_and_as_many_as_a_caller_allows(
    config: Config, define: Define
) -> None:
    inner = config()["penstock"]["limits"]
    entry = define("class Entry(chains.ChainletBase):\n    async def run_remote(self, x: int) -> int: ...\n").Entry
    place = Place("hello", "hello", "my_chain", "Entry", True)
    outer = config_of(registry.describe(entry), place, WantedPackages(), version=None, external=())

    assert inner["queue_timeout"] >= chains.RPCOptions().timeout_sec
    assert inner["queue_streams_max"] >= chains.RPCOptions().concurrency_limit
    assert outer["penstock"]["limits"] == {"disconnect_grace": 0.02}


def test_metadata_that_is_no_mapping_is_kept(config: Config) -> None:
    assert config(options(metadata=["a"]))["model_metadata"]["metadata"] == ["a"]


def test_a_custom_image_is_written_and_warned_of(config: Config) -> None:
    image = chains.CustomImage(image="python:3.11", python_executable_path="/usr/bin/python3")
    found = config(chains.RemoteConfig(docker_image=chains.DockerImage(base_image=image)))
    assert found["base_image"] == {"image": "python:3.11", "python_executable_path": "/usr/bin/python3"}
    (warning,) = config_warnings(config_text(found, where="Part"))
    assert warning.startswith("base_image: not used")


def test_everything_without_a_meaning_is_told_at_once(config: Config) -> None:
    found = config(chains.RemoteConfig(compute=chains.Compute(cpu_count=0, memory="much")))
    with pytest.raises(ChainsUsageError) as failed:
        config_text(found, where="Part")
    assert [line.partition(":")[0] for line in str(failed.value).splitlines()] == [
        "Part",
        "  resources.cpu",
        "  resources.memory",
    ]


@pytest.mark.parametrize(
    ("image", "available", "version", "is_warned"),
    [
        (None, False, None, False),
        (chains.BasetenImage.PY311, False, "py311", False),
        (chains.BasetenImage.PY310, True, "py310", False),
        (chains.BasetenImage.PY39, False, None, True),
        (chains.CustomImage(image="x"), False, None, False),
    ],
    ids=["nothing chosen", "own version", "another that is there", "another", "image"],
)
def test_an_image_is_a_version_of_python_where_it_can_be_had(
    image: Any, available: bool, version: str | None, is_warned: bool
) -> None:
    docker_image = chains.DockerImage() if image is None else chains.DockerImage(base_image=image)
    found, warning = python_version(
        chains.RemoteConfig(docker_image=docker_image), platform_minor="3.11", is_available=lambda _: available
    )
    assert (found, bool(warning)) == (version, is_warned)


def test_who_takes_the_context_may_read_the_chains_key(define: Define) -> None:
    part = define(
        "class Part(chains.ChainletBase):\n"
        "    remote_config = chains.RemoteConfig(assets=chains.Assets(secret_keys=['token']))\n"
        "    def __init__(self, context=chains.depends_context()): ...\n"
        "    async def run_remote(self, x: int) -> int: ...\n"
    ).Part

    found = config_of(registry.describe(part), PLACE, WantedPackages(), version=None, external=())

    assert found["secrets"] == {"token": None, "baseten_chain_api_key": None}
