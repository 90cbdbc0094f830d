"""The base classes, and what every chainlet class knows of itself."""

from __future__ import annotations

from penstock.chains import registry
from penstock.chains.abc_chainlet import ABCChainlet, EntityType
from penstock_testing.chain_kit import Define

SOURCE = """
class A(chains.ChainletBase):
    remote_config = chains.RemoteConfig(name="other-name")
    async def run_remote(self) -> int: ...
class B(A):
    def __init__(self) -> None:
        super().__init__()
class M(chains.ModelBase):
    async def predict(self) -> int: ...
"""


def test_a_class_knows_its_names_and_kind(define: Define) -> None:
    module = define(SOURCE)

    assert (module.A.name, module.A.display_name) == ("A", "other-name")
    assert (module.M.name, module.M.display_name) == ("M", "M")
    assert (module.A.entity_type, module.M.entity_type) == (EntityType.CHAINLET, EntityType.MODEL)
    assert (module.A.supports_dependencies, module.M.supports_dependencies) == (True, False)
    assert (module.A.endpoint_method_name, module.M.endpoint_method_name) == ("run_remote", "predict")
    assert (module.A.has_custom_init(), module.B.has_custom_init(), module.M.has_custom_init()) == (False, True, False)
    assert (module.A.meta_data.is_entrypoint, module.M.meta_data.is_entrypoint) == (False, True)
    assert issubclass(module.A, ABCChainlet)


def test_an_instance_knows_the_same(define: Define) -> None:
    module = define(SOURCE)

    assert module.A().display_name == "other-name"


def test_a_model_is_described_as_one(define: Define) -> None:
    module = define(SOURCE)
    registry.raise_errors()

    description = registry.describe(module.M)
    assert description.is_model and not description.is_truss
    assert description.endpoint is not None and description.endpoint.name == "predict"
    assert not registry.describe(module.A).is_model
