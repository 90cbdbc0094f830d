"""Hot reload: new code, old state, and nothing lost when the new code is bad (truss.md section 2.8)."""

from __future__ import annotations

import abc
from typing import Any

import pytest

from penstock_runner.model.errors import HotReloadError
from penstock_runner.model.reloading import successor


class TestSuccessor:
    """The object of the new class."""

    def test_slots_are_copied(self) -> None:
        class Old:
            __slots__ = ("__private", "a", "never_set")

            def __init__(self) -> None:
                self.a = [1]
                self.__private = 2

        class New:
            __slots__ = ("_Old__private", "a", "b")

        old = Old()

        new = successor(old, New)

        assert new.a is old.a  # type: ignore[attr-defined]  # user's attribute
        assert new._Old__private == 2  # type: ignore[attr-defined]  # user's attribute
        assert not hasattr(new, "never_set")

    def test_slots_beside_a_dictionary_of_a_base_are_both_taken(self) -> None:
        class Base:
            pass

        class Old(Base):
            __slots__ = ("a",)
            a: int

        class New(Base):
            __slots__ = ("a",)

        old = Old()
        old.a = 1
        old.b = 2  # type: ignore[attr-defined]  # user's attribute

        new = successor(old, New)

        assert (new.a, new.b) == (1, 2)  # type: ignore[attr-defined]  # user's attribute
        assert vars(new) is vars(old)

    def test_slots_may_become_a_dictionary_and_back(self) -> None:
        class Slotted:
            __slots__ = ("a",)
            a: int

        class Plain:
            pass

        slotted = Slotted()
        slotted.a = 1

        plain = successor(slotted, Plain)
        assert plain.a == 1  # type: ignore[attr-defined]  # user's attribute
        assert successor(plain, Slotted).a == 1  # type: ignore[attr-defined]  # user's attribute

    def test_attribute_without_a_place_needs_a_restart(self) -> None:
        class Plain:
            pass

        class Slotted:
            __slots__ = ("a",)

        plain = Plain()
        plain.b = 1  # type: ignore[attr-defined]  # user's attribute

        with pytest.raises(HotReloadError) as caught:
            successor(plain, Slotted)

        assert caught.value.message == "A restart is needed: `Slotted` has no place for the attribute `b` any more."
        assert caught.value.needs_restart

    @pytest.mark.parametrize("base", [dict, list, Exception, int])
    def test_state_outside_of_the_object_needs_a_restart(self, base: type) -> None:
        special = type("Special", (base,), {})
        plain = type("Plain", (), {})

        for old, new in ((special(), plain), (plain(), special)):
            with pytest.raises(HotReloadError, match="A restart is needed: `Special` keeps its state as a") as caught:
                successor(old, new)
            assert caught.value.needs_restart

    def test_abstract_class_needs_a_restart(self) -> None:
        class Abstract(abc.ABC):
            @abc.abstractmethod
            def method(self) -> None: ...

        with pytest.raises(HotReloadError, match="abstract"):
            successor(type("Plain", (), {})(), Abstract)

    def test_hooks_of_the_class_are_not_called(self) -> None:
        class Hooked:
            def __new__(cls) -> Hooked:
                raise AssertionError

            def __init__(self) -> None:
                raise AssertionError

            def __setattr__(self, name: str, value: object) -> None:
                raise AssertionError

            def __getattribute__(self, name: str) -> Any:
                raise AssertionError

        class Old:
            def __init__(self) -> None:
                self.a = 1

        assert object.__getattribute__(successor(Old(), Hooked), "a") == 1
