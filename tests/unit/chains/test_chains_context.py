"""The context of a chainlet, and addresses of deployments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pydantic
import pytest

from penstock.chains import DeployedServiceDescriptor, DeploymentContext, Environment, RPCOptions
from penstock.chains.context import ServiceDescriptorUrls
from penstock.chains.errors import MissingDependencyError


class LazySecrets(Mapping[str, str]):
    """Reads when asked, as the platform's do; iterating them is an error."""

    def __getitem__(self, name: str) -> str:
        if name != "baseten_chain_api_key":
            raise KeyError(name)
        return "key"

    def __iter__(self) -> Iterator[str]:
        raise NotImplementedError

    def __len__(self) -> int:
        return 1


def test_a_context_has_no_data_and_no_environment_by_default() -> None:
    context = DeploymentContext(chainlet_to_service={}, secrets={})

    assert (context.data_dir, context.environment) == (None, None)
    assert DeploymentContext(chainlet_to_service={}, secrets={}, environment=Environment(name="production")) != context


def test_secrets_are_read_when_they_are_asked_for_and_never_copied() -> None:
    secrets = LazySecrets()

    context = DeploymentContext(chainlet_to_service={}, secrets=secrets)

    assert context.secrets is secrets
    assert context.get_baseten_api_key() == "key"


def test_a_missing_key_is_named() -> None:
    context = DeploymentContext(chainlet_to_service={}, secrets={})

    with pytest.raises(
        MissingDependencyError, match=r"`baseten_chain_api_key`.*For local execution, secrets can be prov"
    ):
        context.get_baseten_api_key()


def test_dependencies_are_found_by_their_display_name() -> None:
    service = DeployedServiceDescriptor(
        name="Rand", display_name="rand", options=RPCOptions(), predict_url="https://localhost/run_remote"
    )
    context = DeploymentContext(chainlet_to_service={"rand": service}, secrets={})

    assert context.get_service_descriptor("rand") is service
    with pytest.raises(MissingDependencyError, match="Rand"):
        context.get_service_descriptor("Rand")


def test_a_service_has_at_least_one_address() -> None:
    url = ServiceDescriptorUrls.InternalURL(gateway_run_remote_url="http://localhost/run_remote", hostname="chain")

    assert ServiceDescriptorUrls(internal_url=url).internal_url is url
    assert ServiceDescriptorUrls(predict_url="http://localhost").predict_url == "http://localhost"
    with pytest.raises(
        pydantic.ValidationError, match="At least one of 'predict_url' or 'internal_url' must be provided"
    ):
        ServiceDescriptorUrls()


def test_a_context_takes_nothing_that_it_does_not_know() -> None:
    with pytest.raises(pydantic.ValidationError, match="user_env"):
        DeploymentContext(chainlet_to_service={}, secrets={}, user_env={})  # type: ignore[call-arg]  # the test
