"""How chainlets are deployed: what the objects take, and what they give."""

from __future__ import annotations

import enum
import warnings
from typing import Any

import pydantic
import pytest

from penstock import chains
from penstock.chains.errors import ChainsUsageError
from penstock.chains.truss_config import Accelerator, ExternalDataItem, ModelRepo
from penstock_testing.foreign_truss import foreign


class ForeignAccelerator(str, enum.Enum):  # noqa: UP042  # as an installed Truss has it
    H100 = "H100"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, ""),
        ({"gpu_count": 4}, ""),
        ({"gpu": "A10G"}, "A10G"),
        ({"gpu": "A10G", "gpu_count": 4}, "A10G:4"),
        ({"gpu": "H100:2"}, "H100:2"),
        ({"gpu": "H100:2", "gpu_count": 2}, "H100:2"),
        ({"gpu": Accelerator.H100, "gpu_count": 2}, "H100:2"),
        ({"gpu": ForeignAccelerator.H100}, "H100"),
        ({"gpu": "RTX-5090"}, "RTX-5090"),
    ],
)
def test_gpus_are_named_as_in_truss(arguments: dict[str, Any], expected: str) -> None:
    assert str(chains.Compute(**arguments).get_spec().accelerator) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gpu": "H100:0"}, "a GPU is named TYPE or TYPE:COUNT such as L4 or H100:2, got 'H100:0'"),
        ({"gpu": "two H100"}, "a GPU is named TYPE or TYPE:COUNT"),
        ({"gpu": "H100:2", "gpu_count": 4}, "gpu='H100:2' says 2 GPUs, and gpu_count says 4; write the number once"),
        ({"gpu": "H100", "gpu_count": 0}, "gpu_count must be at least 1, got 0"),
        ({"cpu_count": 0.5}, "cpu_count"),
        ({"predict_concurrency": "all"}, "predict_concurrency must be a number or \"cpu_count\", got 'all'"),
    ],
)
def test_resources_that_make_no_sense_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the text is compared below
        chains.Compute(**arguments)

    assert message in str(caught.value)


def test_resources_have_the_defaults_of_truss_chains() -> None:
    spec = chains.Compute().get_spec()

    assert (spec.cpu_count, spec.memory, spec.predict_concurrency, spec.instance_type) == (1, "2Gi", 1, None)
    assert chains.Compute(3, predict_concurrency="cpu_count").get_spec().predict_concurrency == 3


def test_assets_take_objects_of_ours_objects_of_truss_and_dicts() -> None:
    expected = ModelRepo(repo_id="a/b", revision="abc", use_volume=False)
    theirs: Any = foreign("ModelRepo", repo_id="a/b", revision="abc", use_volume=False)

    spec = chains.Assets(
        cached=[expected, theirs, {"repo_id": "a/b", "revision": "abc"}],
        secret_keys=(name for name in ("hf_access_token", "other")),
        external_data=[{"url": "https://localhost/x", "local_data_path": "x"}],
        weights=[
            {"source": "hf://a/b@main", "mount_location": "/w"},
            foreign("WeightsSource", source="s", mount_location="/"),
        ],
    ).get_spec()

    assert spec.cached == [expected] * 3
    assert spec.secrets == {"hf_access_token": "***", "other": "***"}
    assert spec.external_data == [ExternalDataItem(url="https://localhost/x", local_data_path="x")]
    assert [each.source for each in spec.weights] == ["hf://a/b@main", "s"]


def test_an_asset_that_is_not_valid_is_named() -> None:
    with pytest.raises(pydantic.ValidationError, match="repo_id"):
        chains.Assets(cached=[{"repo": "a/b"}])
    with pytest.raises(pydantic.ValidationError, match="mount_location"):
        chains.Assets(weights=[foreign("WeightsSource", source="s")])


def test_an_image_as_text_is_refused_with_what_to_write() -> None:
    with pytest.raises(ChainsUsageError, match="Specify as `BasetenImage` or `CustomImage`"):
        chains.DockerImage(base_image="py311")  # type: ignore[arg-type]  # the test


def test_the_older_name_of_the_requirements_file_is_taken() -> None:
    path = chains.make_abs_path_here("requirements.txt")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = chains.DockerImage(pip_requirements_file=path)

    assert image.requirements_file is path
    with pytest.raises(ChainsUsageError) as caught:
        chains.DockerImage(pip_requirements_file=path, requirements_file=path)
    assert str(caught.value) == (
        "Cannot specify both `pip_requirements_file` and `requirements_file`. Use `requirements_file` only — "
        "`pip_requirements_file` is deprecated."
    )


def test_paths_are_made_with_the_helper() -> None:
    with pytest.raises(pydantic.ValidationError, match="Input should be an instance of AbsPath"):
        chains.DockerImage(data_dir="data")  # type: ignore[arg-type]  # the test


def test_a_login_to_a_registry_may_be_that_of_truss() -> None:
    auth: Any = foreign("DockerAuthSettings", auth_method="AWS_IAM", registry="localhost")

    image = chains.CustomImage(image="x", docker_auth=auth)

    assert image.docker_auth is not None and image.docker_auth.registry == "localhost"


def test_a_configuration_has_the_defaults_of_truss_chains_and_knows_its_keys() -> None:
    config = chains.RemoteConfig()

    assert (config.name, config.build_commands) == (None, [])
    assert config.docker_image == chains.DockerImage() and config.options == chains.ChainletOptions()
    assert config.docker_image.base_image is chains.BasetenImage.PY311
    assert config.get_compute_spec().cpu_count == 1 and config.get_asset_spec().secrets == {}
    with pytest.raises(pydantic.ValidationError, match="docker"):
        chains.RemoteConfig(docker=1)  # type: ignore[call-arg]  # the test


def test_what_is_given_out_is_a_copy() -> None:
    assets = chains.Assets(cached=[ModelRepo(repo_id="a")])

    assets.get_spec().cached.clear()

    assert len(assets.get_spec().cached) == 1
    assert repr(assets).startswith("Assets(AssetSpec(") and repr(chains.Compute()).startswith("Compute(ComputeSpec(")
