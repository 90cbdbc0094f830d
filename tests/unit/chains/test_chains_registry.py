"""The classes of the process: what is reported when, names, the graph of a chain, imports that fail or happen again."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from penstock.chains import registry
from penstock.chains.errors import ChainsUsageError
from penstock.chains.registry import ChainletRegistry
from penstock_testing.chain_kit import Define

RUN = "\n    async def run_remote(self, x: int) -> int: ...\n"


def test_problems_of_all_classes_are_raised_together_and_once(define: Define) -> None:
    module = define(
        "class A(chains.ChainletBase): ...\nclass B(chains.ChainletBase): ...\nclass C(chains.ChainletBase):" + RUN
    )

    with pytest.raises(ChainsUsageError) as caught:
        registry.raise_errors()
    registry.raise_errors()

    assert [line.split(" ")[1] for line in str(caught.value).splitlines()[1:]] == ["(A)", "(B)"]
    assert isinstance(caught.value, TypeError)
    with pytest.raises(ChainsUsageError, match=r":3 \(A\) \[kind: MISSING_API_ERROR\]"):
        registry.describe(module.A)
    assert registry.describe(module.C).display_name == "C"


def test_what_is_no_chainlet_cannot_be_described() -> None:
    with pytest.raises(ChainsUsageError, match=r"<class 'int'> is no chainlet class: it must be derived from"):
        registry.describe(int)


def test_a_class_name_is_taken_once_and_that_is_said_at_once(define: Define) -> None:
    source = f"class A(chains.ChainletBase):{RUN}"

    with pytest.raises(ChainsUsageError) as caught:
        define(source + source)

    file = sys.modules["my_chain"].__file__
    assert str(caught.value) == (
        "A Chainlet with name `A` was already defined, Chainlet names must be globally unique.\n"
        f"Pre-existing in: `{file}`\nNew conflict in: `{file}`."
    )


def test_a_class_name_is_taken_across_modules(define: Define, tmp_path: Path) -> None:
    (tmp_path / "parts.py").write_text(f"from penstock import chains\nclass A(chains.ChainletBase):{RUN}")
    sys.path.insert(0, str(tmp_path))

    with pytest.raises(ChainsUsageError, match="A Chainlet with name `A` was already defined") as caught:
        define(f"import parts\nclass A(chains.ChainletBase):{RUN}")

    assert f"Pre-existing in: `{tmp_path}/parts.py`\nNew conflict in: `{tmp_path}/my_chain.py`." in str(caught.value)


def test_a_module_that_is_imported_again_replaces_its_classes(define: Define) -> None:
    old = define(f"class A(chains.ChainletBase):{RUN}class Gone(chains.ChainletBase): ...\n").A
    new = define("class A(chains.ChainletBase):\n    async def run_remote(self) -> str: ...").A

    endpoint = registry.describe(new).endpoint
    assert endpoint is not None and endpoint.result_types == (str,)
    with pytest.raises(ChainsUsageError, match="is no chainlet class"):
        registry.describe(old)


def test_an_import_that_fails_leaves_the_classes_as_they_were(define: Define) -> None:
    old = define(f"class A(chains.ChainletBase):{RUN}").A
    del sys.modules["my_chain"]

    with pytest.raises(ZeroDivisionError), registry.transaction():
        define(f"class A(chains.ChainletBase):{RUN}class B(chains.ChainletBase): ...\n1 / 0")

    assert registry.classes() == (old,)
    registry.raise_errors()
    assert registry.describe(old).chainlet is old


def test_an_import_forgets_classes_whose_module_is_gone(define: Define) -> None:
    define(f"class A(chains.ChainletBase):{RUN}class Broken(chains.ChainletBase): ...\n")
    del sys.modules["my_chain"]

    with registry.transaction():
        new = define(f"class B(chains.ChainletBase):{RUN}").B

    assert registry.classes() == (new,)
    registry.raise_errors()


def test_registries_of_tests_are_apart(fresh_registry: ChainletRegistry) -> None:
    other = ChainletRegistry()
    assert registry.use(other) is fresh_registry
    assert registry.use(fresh_registry) is other


DIAMOND = f"""
class Bottom(chains.ChainletBase):{RUN}
class Left(chains.ChainletBase):
    def __init__(self, bottom=chains.depends(Bottom)): ...{RUN}
class Right(chains.ChainletBase):
    def __init__(self, bottom=chains.depends(Bottom), left=chains.depends(Left)): ...{RUN}
class Truss(chains.TrussChainlet):
    truss_dir = "."
class Unused(chains.ChainletBase):{RUN}
class Top(chains.ChainletBase):
    def __init__(self, right=chains.depends(Right), left=chains.depends(Left), truss=chains.depends(Truss)): ...{RUN}
class SubBottom(Bottom):
    async def run_remote(self, x: int) -> int: ...
class SubTop(Left):
    def __init__(self, bottom: Bottom = chains.depends(SubBottom)): super().__init__(bottom=bottom)
"""


def test_the_graph_has_each_chainlet_once_and_after_what_it_calls(define: Define) -> None:
    module = define(DIAMOND)

    names = [description.display_name for description in registry.graph(module.Top)]

    assert names == ["Bottom", "Left", "Right", "Truss", "Top"]
    assert [description.is_truss for description in registry.graph(module.Top)] == [False, False, False, True, False]
    assert [each.display_name for each in registry.graph(module.SubTop)] == ["SubBottom", "SubTop"]
    assert [each.display_name for each in registry.graph(module.Bottom)] == ["Bottom"]


def test_the_graph_of_a_broken_chain_names_the_problems_of_all_its_chainlets(define: Define) -> None:
    module = define(
        f"class Unused(chains.ChainletBase): ...\nclass A(chains.ChainletBase): ...\nclass B(chains.ChainletBase):{RUN}"
        "class C(chains.ChainletBase):\n    def __init__(self, x, a=chains.depends(A), b=chains.depends(B)): ...\n"
    )

    with pytest.raises(ChainsUsageError) as caught:
        registry.graph(module.C)

    lines = [line for line in str(caught.value).splitlines() if "[kind:" in line]
    assert [line.split(" ")[1] for line in lines] == ["(A)", "(C.__init__)", "(C)"]


def test_two_chainlets_of_a_chain_cannot_have_one_display_name(define: Define) -> None:
    module = define(
        f"class A(chains.ChainletBase):{RUN}class B(chains.ChainletBase):\n"
        f"    remote_config = chains.RemoteConfig(name='A')\n    def __init__(self, a=chains.depends(A)): ...{RUN}"
    )

    with pytest.raises(ChainsUsageError, match="Two chainlets of the chain have the display name `A`: `A` and `B`"):
        registry.graph(module.B)


def test_a_module_can_be_reloaded_after_its_file_has_changed(define: Define, tmp_path: Path) -> None:
    first = define(f"class A(chains.ChainletBase):{RUN}").A
    with registry.transaction():
        del sys.modules["my_chain"]
        second = define(f"class A(chains.ChainletBase):{RUN}").A

    assert first is not second and registry.classes() == (second,)
