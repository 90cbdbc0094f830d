"""How a chainlet is deployed: the class variable `remote_config`."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, TypeVar

import pydantic

from penstock.chains.abs_path import AbsPath
from penstock.chains.errors import ChainsUsageError
from penstock.chains.options import ChainletOptions
from penstock.chains.truss_config import (
    Accelerator,
    AcceleratorSpec,
    DockerAuthSettings,
    ExternalDataItem,
    ModelRepo,
    WeightsSource,
    coerced,
)

ModelT = TypeVar("ModelT", bound=pydantic.BaseModel)

CPU_COUNT = "cpu_count"
SECRET_DUMMY = "***"
"""Stands for the value of a secret in a configuration."""

_CONFIG = pydantic.ConfigDict(arbitrary_types_allowed=True, strict=True, validate_assignment=True, extra="forbid")


class BasetenImage(enum.Enum):
    """Base images of Baseten, by version of Python. Here they choose the version that the chainlet runs on."""

    PY39 = "py39"
    PY310 = "py310"
    PY311 = "py311"


def _docker_auth(value: object) -> object:
    return coerced(value, DockerAuthSettings)


class CustomImage(pydantic.BaseModel):
    """An image of the user's own.

    Attributes:
        image: Reference to the image.
        python_executable_path: Absolute path of the interpreter inside the image.
        docker_auth: Login to the registry.
    """

    model_config = pydantic.ConfigDict(strict=True, validate_assignment=True)

    image: str
    python_executable_path: str | None = None
    docker_auth: Annotated[DockerAuthSettings | None, pydantic.BeforeValidator(_docker_auth)] = None


class DockerImage(pydantic.BaseModel):
    """What must be installed and copied before a chainlet can run. Paths are made with `make_abs_path_here`.

    Attributes:
        base_image: Version of Python, or an image of the user's own.
        pip_requirements_file: Deprecated; the older name of `requirements_file`.
        pip_requirements: Packages for pip, beside those of the file.
        apt_requirements: System packages.
        requirements_file: A requirements.txt, pyproject.toml or uv.lock.
        data_dir: Folder that the chainlet finds as `context.data_dir`.
        external_package_dirs: Folders outside of the chain's own whose packages can be imported.
        truss_server_version_override: Accepted without effect.
    """

    model_config = _CONFIG

    base_image: BasetenImage | CustomImage = BasetenImage.PY311
    pip_requirements_file: AbsPath | None = None
    pip_requirements: list[str] = []
    apt_requirements: list[str] = []
    requirements_file: AbsPath | None = None
    data_dir: AbsPath | None = None
    external_package_dirs: list[AbsPath] | None = None
    truss_server_version_override: str | None = None

    @pydantic.model_validator(mode="before")
    @classmethod
    def _older_forms(cls, values: Any) -> Any:
        """Refuses an image as text, and makes `requirements_file` hold the file under either name."""
        if not isinstance(values, dict):
            return values
        if isinstance(values.get("base_image"), str):
            raise ChainsUsageError(
                "`DockerImage.base_image` as string is deprecated. Specify as `BasetenImage` or `CustomImage`."
            )
        older = values.get("pip_requirements_file")
        if older is None:
            return values
        if values.get("requirements_file") is not None:
            raise ChainsUsageError(
                "Cannot specify both `pip_requirements_file` and `requirements_file`. "
                "Use `requirements_file` only — `pip_requirements_file` is deprecated."
            )
        return {**values, "requirements_file": older}


class ComputeSpec(pydantic.BaseModel):
    """What `Compute` asks for, checked."""

    model_config = pydantic.ConfigDict(frozen=True)

    cpu_count: int = 1
    predict_concurrency: int = 1
    memory: str = "2Gi"
    accelerator: AcceleratorSpec = AcceleratorSpec()
    instance_type: str | None = None


class Compute:
    """Resources of one replica of a chainlet."""

    def __init__(
        self,
        cpu_count: int = 1,
        memory: str = "2Gi",
        gpu: str | Accelerator | None = None,
        gpu_count: int = 1,
        predict_concurrency: int | Literal["cpu_count"] = 1,
        instance_type: str | None = None,
    ) -> None:
        """
        Args:
            cpu_count: Cores.
            memory: Bytes with a unit, e.g. "2Gi".
            gpu: Type of GPU such as "A10G", or type and number such as "H100:2".
            gpu_count: Number of GPUs, when `gpu` does not say it.
            predict_concurrency: Requests that one replica answers at once; "cpu_count" for one per core.
            instance_type: Label of the machines to run on.

        Raises:
            ValueError: a value makes no sense; the text names it.
        """
        if predict_concurrency == CPU_COUNT:
            predict_concurrency = cpu_count
        if isinstance(predict_concurrency, str):
            raise ValueError(f'predict_concurrency must be a number or "{CPU_COUNT}", got {predict_concurrency!r}')
        self._spec = ComputeSpec(
            cpu_count=cpu_count,
            predict_concurrency=predict_concurrency,
            memory=memory,
            accelerator=_accelerator(gpu, gpu_count),
            instance_type=instance_type,
        )

    def __repr__(self) -> str:
        return f"Compute({self._spec!r})"

    def get_spec(self) -> ComputeSpec:
        """Returns what was asked for, checked."""
        return self._spec.model_copy(deep=True)


def _accelerator(gpu: str | enum.Enum | None, count: int) -> AcceleratorSpec:
    """Accelerator of an installed Truss is an enum of its own, with the same values."""
    if gpu is None:
        return AcceleratorSpec()
    spec = AcceleratorSpec.parse(str(gpu.value) if isinstance(gpu, enum.Enum) else gpu)
    if count < 1:
        raise ValueError(f"gpu_count must be at least 1, got {count}")
    if spec.count != 1 and count not in (1, spec.count):
        raise ValueError(f"gpu={gpu!r} says {spec.count} GPUs, and gpu_count says {count}; write the number once")
    return AcceleratorSpec(accelerator=spec.accelerator, count=max(spec.count, count))


class AssetSpec(pydantic.BaseModel):
    """What `Assets` names, checked."""

    secrets: Mapping[str, str] = {}
    """By name; the values stand in no configuration."""
    cached: list[ModelRepo] = []
    external_data: list[ExternalDataItem] = []
    weights: list[WeightsSource] = []


class Assets:
    """Secrets and files of a chainlet."""

    def __init__(
        self,
        cached: Iterable[ModelRepo | Mapping[str, Any] | pydantic.BaseModel] = (),
        secret_keys: Iterable[str] = (),
        external_data: Iterable[ExternalDataItem | Mapping[str, Any] | pydantic.BaseModel] = (),
        weights: Iterable[WeightsSource | Mapping[str, Any] | pydantic.BaseModel] = (),
    ) -> None:
        """
        Args:
            cached: Repositories whose files are there before the chainlet is made: `ModelRepo` objects, or dicts.
            secret_keys: Names of the secrets that the chainlet may read.
            external_data: Files to download into `context.data_dir`.
            weights: Weights and where they are found; `WeightsSource` objects, or dicts.

        Raises:
            ValueError: an item is not valid; the text names it.
        """
        self._spec = AssetSpec(
            secrets=dict.fromkeys(secret_keys, SECRET_DUMMY),
            cached=_items(cached, ModelRepo),
            external_data=_items(external_data, ExternalDataItem),
            weights=_items(weights, WeightsSource),
        )

    def __repr__(self) -> str:
        return f"Assets({self._spec!r})"

    def get_spec(self) -> AssetSpec:
        """Returns what was named, checked."""
        return self._spec.model_copy(deep=True)


def _items(items: Iterable[object], kind: type[ModelT]) -> list[ModelT]:
    return [kind.model_validate(coerced(item, kind)) for item in items]


class RemoteConfig(pydantic.BaseModel):
    """How a chainlet is deployed.

    Attributes:
        docker_image: What must be installed and copied.
        compute: Resources of one replica.
        assets: Secrets and files.
        name: Name of the chainlet; its class name when None.
        options: How it is run.
        build_commands: Commands that run once, before the first replica starts.
    """

    model_config = _CONFIG

    docker_image: DockerImage = pydantic.Field(default_factory=DockerImage)
    compute: Compute = pydantic.Field(default_factory=Compute)
    assets: Assets = pydantic.Field(default_factory=Assets)
    name: str | None = None
    options: ChainletOptions = pydantic.Field(default_factory=ChainletOptions)
    build_commands: list[str] = []

    def get_compute_spec(self) -> ComputeSpec:
        """Returns the resources, checked."""
        return self.compute.get_spec()

    def get_asset_spec(self) -> AssetSpec:
        """Returns secrets and files, checked."""
        return self.assets.get_spec()
