"""Properties of chainlet classes that depend on the class, not on an instance."""

from __future__ import annotations

from penstock.chains.abc_chainlet import ClassProperty
from penstock_testing.chain_kit import Define


def test_a_class_property_is_asked_of_the_class_also_through_an_instance() -> None:
    class Shape:
        @ClassProperty
        def label(cls) -> str:
            """What it is called."""
            return f"<{cls.__name__}>"  # type: ignore[attr-defined]  # mypy takes `cls` for an instance

    class Circle(Shape): ...

    assert (Shape.label, Circle.label, Circle().label) == ("<Shape>", "<Circle>", "<Circle>")
    assert Shape.__dict__["label"].__doc__ == "What it is called."


def test_the_display_name_of_a_broken_configuration_is_the_class_name(define: Define) -> None:
    module = define("class A(chains.ChainletBase):\n    remote_config = 3\n")

    assert module.A.display_name == "A"
