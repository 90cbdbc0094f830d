"""Parts of a Truss configuration that chains take as objects: the names of `truss.base.truss_config`.

Objects of an installed Truss are taken as well, and so are plain dicts; see `coerced`.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

import pydantic

ModelT = TypeVar("ModelT", bound=pydantic.BaseModel)


class ConfigModel(pydantic.BaseModel):
    """Keys that are not known survive: what a newer Truss writes reaches config.yaml, which names what it ignores."""

    model_config = pydantic.ConfigDict(extra="allow", validate_assignment=True, protected_namespaces=())

    def to_dict(self, verbose: bool = False) -> dict[str, Any]:
        """Returns what stands in config.yaml. `verbose` keeps what is as by default."""
        return self.model_dump(mode="json", exclude_defaults=not verbose, exclude_none=not verbose)


class Accelerator(enum.StrEnum):
    """Types of GPU that Truss names. Machines of one's own have the GPUs that they have; other names are taken, too."""

    T4 = "T4"
    L4 = "L4"
    A10G = "A10G"
    V100 = "V100"
    A100 = "A100"
    A100_40GB = "A100_40GB"
    H100 = "H100"
    H200 = "H200"
    H100_40GB = "H100_40GB"
    B200 = "B200"
    L40S = "L40S"
    RTX_PRO_6000 = "RTX_PRO_6000"
    B300 = "B300"
    GB300 = "GB300"


class AcceleratorSpec(ConfigModel):
    """GPUs of one replica."""

    accelerator: str | None = None
    count: pydantic.NonNegativeInt = 1

    def __str__(self) -> str:
        if self.accelerator is None:
            return ""
        return f"{self.accelerator}:{self.count}" if self.count > 1 else self.accelerator

    @classmethod
    def parse(cls, text: str) -> AcceleratorSpec:
        """Reads "TYPE" or "TYPE:COUNT".

        Raises:
            ValueError: it is neither.
        """
        found = re.fullmatch(r"([A-Za-z0-9_-]+)(?::([0-9]{1,9}))?", text.strip())
        if found is None or (found[2] is not None and int(found[2]) == 0):
            raise ValueError(f"a GPU is named TYPE or TYPE:COUNT such as L4 or H100:2, got {text!r}")
        return cls(accelerator=found[1], count=int(found[2] or 1))


class ModelRepo(ConfigModel):
    """One repository of `model_cache`."""

    repo_id: Annotated[str, pydantic.StringConstraints(min_length=1)]
    revision: str = ""
    allow_patterns: list[str] | None = None
    ignore_patterns: list[str] | None = None
    volume_folder: Annotated[str, pydantic.StringConstraints(min_length=1)] | None = None
    use_volume: bool = False
    kind: str = "hf"
    runtime_secret_name: str = "hf_access_token"


class ExternalDataItem(ConfigModel):
    """One file of `external_data`."""

    url: Annotated[str, pydantic.StringConstraints(min_length=1)]
    local_data_path: Annotated[str, pydantic.StringConstraints(min_length=1)]
    backend: str = "http_public"
    name: str | None = None


class WeightsAuth(ConfigModel):
    """How a source of weights is opened."""

    auth_method: str | None = None
    auth_secret_name: str | None = None
    aws_oidc_role_arn: str | None = None
    aws_oidc_region: str | None = None
    gcp_oidc_service_account: str | None = None
    gcp_oidc_workload_id_provider: str | None = None


class WeightsSource(ConfigModel):
    """One entry of `weights`: files that are in place before the chainlet is made."""

    source: Annotated[str, pydantic.StringConstraints(min_length=1)]
    mount_location: Annotated[str, pydantic.StringConstraints(min_length=1)]
    auth: WeightsAuth | None = None
    auth_secret_name: str | None = None
    allow_patterns: list[str] | None = None
    ignore_patterns: list[str] | None = None

    @property
    def is_huggingface(self) -> bool:
        """Whether the files come from the Hugging Face Hub."""
        return self.source.startswith("hf://")


class DockerAuthType(enum.StrEnum):
    """Ways to log in to a registry of images."""

    GCP_SERVICE_ACCOUNT_JSON = "GCP_SERVICE_ACCOUNT_JSON"
    AWS_IAM = "AWS_IAM"
    AWS_OIDC = "AWS_OIDC"
    GCP_OIDC = "GCP_OIDC"
    REGISTRY_SECRET = "REGISTRY_SECRET"
    AWS_ASSUME_ROLE = "AWS_ASSUME_ROLE"


class DockerAuthSettings(ConfigModel):
    """Login to a registry of images. Accepted without effect: no image is pulled."""

    auth_method: DockerAuthType
    secret_name: str | None = None
    registry: str | None = ""


class HealthChecks(ConfigModel):
    """When a replica counts as unhealthy. Times in seconds; None takes the platform's defaults."""

    restart_check_delay_seconds: int | None = None
    restart_threshold_seconds: int | None = None
    stop_traffic_threshold_seconds: int | None = None
    startup_threshold_seconds: int | None = None


class TransportKind(enum.StrEnum):
    """What carries requests to a model."""

    HTTP = "http"
    WEBSOCKET = "websocket"
    GRPC = "grpc"


class HTTPOptions(ConfigModel):
    """Requests over HTTP."""

    kind: Literal["http"] = "http"


class WebsocketOptions(ConfigModel):
    """WebSockets. Times in seconds; None takes the platform's defaults."""

    kind: Literal["websocket"] = "websocket"
    ping_interval_seconds: float | None = None
    ping_timeout_seconds: float | None = None


class GRPCOptions(ConfigModel):
    """Requests over gRPC to a server of the user's own."""

    kind: Literal["grpc"] = "grpc"


TransportOptions = HTTPOptions | WebsocketOptions | GRPCOptions
_TRANSPORTS: Mapping[str, type[HTTPOptions | WebsocketOptions | GRPCOptions]] = {
    "http": HTTPOptions,
    "websocket": WebsocketOptions,
    "grpc": GRPCOptions,
}


def coerced(value: object, kind: type[ModelT]) -> object:
    """Returns `value` as a `kind` when it is an object of an installed Truss of that name; otherwise as it is."""
    if isinstance(value, kind) or not isinstance(value, pydantic.BaseModel):
        return value
    if type(value).__name__ != kind.__name__:
        return value
    return kind.model_validate(value.model_dump(mode="json", exclude_none=True))


def coerced_transport(value: object) -> object:
    """Returns `value` as one of our transports when it is one of an installed Truss; otherwise as it is."""
    for kind in _TRANSPORTS.values():
        found = coerced(value, kind)
        if found is not value:
            return found
    return value


def __getattr__(name: str) -> object:
    if name.startswith("TRTLLM"):
        from penstock.chains.engine_builder import UNAVAILABLE
        from penstock.chains.errors import ChainsUsageError

        raise ChainsUsageError(f"`{name}`: {UNAVAILABLE}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
