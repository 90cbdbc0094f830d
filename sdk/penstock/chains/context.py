"""What a chainlet is given when it is made: where its dependencies are, secrets, data and its environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import pydantic

from penstock.chains.errors import MissingDependencyError
from penstock.chains.names import CHAIN_API_KEY_SECRET
from penstock.chains.options import RPCOptions


class Environment(pydantic.BaseModel):
    """The environment that a chainlet is deployed in."""

    model_config = pydantic.ConfigDict(strict=True, validate_assignment=True)

    name: str


class ServiceDescriptorUrls(pydantic.BaseModel):
    """Addresses of a deployment; at least one."""

    class InternalURL(pydantic.BaseModel):
        """Address inside the platform."""

        model_config = pydantic.ConfigDict(strict=True, validate_assignment=True)

        gateway_run_remote_url: str
        hostname: str
        """Sent as the header `Host`."""

    model_config = pydantic.ConfigDict(strict=True, validate_assignment=True)

    predict_url: str | None = None
    internal_url: InternalURL | None = None
    """Preferred when there."""

    @pydantic.model_validator(mode="after")
    def _has_a_url(self) -> ServiceDescriptorUrls:
        if not self.predict_url and not self.internal_url:
            raise ValueError("At least one of 'predict_url' or 'internal_url' must be provided.")
        return self


class DeployedServiceDescriptor(ServiceDescriptorUrls):
    """What a stub needs to call a deployed chainlet."""

    name: str
    display_name: str
    options: RPCOptions


InternalURL = ServiceDescriptorUrls.InternalURL

# The mapping that the platform gives reads a secret when it is asked for; it must be neither copied nor iterated.
Secrets = Annotated[Mapping[str, str], pydantic.SkipValidation]


class DeploymentContext(pydantic.BaseModel):
    """What a chainlet can ask for when it is made, as the last argument of its `__init__`.

    Attributes:
        chainlet_to_service: The dependencies of the chainlet, by display name.
        secrets: Values of the secrets that `remote_config.assets.secret_keys` names.
        data_dir: Folder with the chainlet's data; None when it has none.
        environment: None outside of environments.
    """

    model_config = pydantic.ConfigDict(
        arbitrary_types_allowed=True, strict=True, validate_assignment=True, extra="forbid"
    )

    chainlet_to_service: Mapping[str, DeployedServiceDescriptor]
    secrets: Secrets
    data_dir: Path | None = None
    environment: Environment | None = None

    def get_service_descriptor(self, chainlet_name: str) -> DeployedServiceDescriptor:
        """Returns where the dependency of that display name is.

        Raises:
            MissingDependencyError: the chainlet does not depend on it.
        """
        if chainlet_name not in self.chainlet_to_service:
            raise MissingDependencyError(f"{chainlet_name}")
        return self.chainlet_to_service[chainlet_name]

    def get_baseten_api_key(self) -> str:
        """Returns the key for calls to other deployments: the secret `baseten_chain_api_key`.

        Raises:
            MissingDependencyError: there is no such secret.
        """
        if CHAIN_API_KEY_SECRET not in self.secrets:
            raise MissingDependencyError(
                f"For calls to other deployments a secret with the name `{CHAIN_API_KEY_SECRET}` must be there. "
                "For local execution, secrets can be provided to `run_local`."
            )
        return self.secrets[CHAIN_API_KEY_SECRET]
