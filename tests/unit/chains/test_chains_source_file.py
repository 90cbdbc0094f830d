"""Files that hold a chain: names, entrypoints, and what a failure leaves behind."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from penstock.chains import registry
from penstock.chains.errors import ChainsUsageError
from penstock.chains.source_file import LoadedChain, load_chain

pytestmark = pytest.mark.usefixtures("fresh_registry", "clean_imports")

PRELUDE = "import truss_chains as chains\n"
MARK = "@chains.mark_entrypoint\n"


def chainlet(name: str, base: str = "chains.ChainletBase", method: str = "run_remote") -> str:
    return f"class {name}({base}):\n    async def {method}(self, x: int) -> int: ...\n"


def load(folder: Path, source: str, name: str = "my_chain.py", entrypoint: str | None = None) -> LoadedChain:
    file = folder / name
    file.write_text(PRELUDE + source)
    return load_chain(file, entrypoint)


def test_the_marked_chainlet_is_the_entrypoint(tmp_path: Path) -> None:
    loaded = load(tmp_path, chainlet("A") + "@chains.mark_entrypoint('My Chain')\n" + chainlet("B"))

    assert loaded.entrypoint is sys.modules["my_chain"].B
    assert (loaded.chain_name, loaded.module_name) == ("My Chain", "my_chain")
    assert (loaded.workspace, loaded.source) == (tmp_path, tmp_path / "my_chain.py")
    assert sys.path[0] == str(tmp_path)


@pytest.mark.parametrize(
    ("source", "entrypoint", "expected"),
    [
        (chainlet("A"), None, "A"),
        (chainlet("A") + chainlet("B"), "B", "B"),
        (MARK + chainlet("A") + chainlet("B"), "B", "B"),
        (MARK + chainlet("A"), None, "A"),
        (chainlet("A", "chains.ModelBase", "predict"), None, "A"),
        (chainlet("A", "chains.ModelBase", "predict") + chainlet("B"), None, "B"),
        (chainlet("A") + MARK + "class B(A): ...\n", None, "B"),
    ],
    ids=["only one", "named", "named beside the marked one", "bare", "model", "model beside chainlet", "subclass"],
)
def test_the_entrypoint_is_the_named_the_marked_or_the_only_one(
    tmp_path: Path, source: str, entrypoint: str | None, expected: str
) -> None:
    assert load(tmp_path, source, entrypoint=entrypoint).entrypoint.__name__ == expected


NO_ENTRYPOINT = (
    "No entrypoint was named and no Chainlet in `{file}` was tagged with `@chains.mark_entrypoint`. Tag one Chainlet "
    "or provide the Chainlet class name. Found Chainlets: \n"
)


@pytest.mark.parametrize(
    ("source", "entrypoint", "expected"),
    [
        ("", None, NO_ENTRYPOINT + "[]"),
        (chainlet("A") + chainlet("B"), None, NO_ENTRYPOINT + "['A', 'B']"),
        (
            MARK + chainlet("A") + MARK + chainlet("B"),
            None,
            "No entrypoint was named and multiple Chainlets in `{file}` were tagged with `@chains.mark_entrypoint`. "
            "Tag one Chainlet or provide the Chainlet class name. Found Chainlets: \n['A', 'B']",
        ),
        (chainlet("A"), "Z", "Target class `Z` not found in `{file}`."),
        ("A = 3\n", "A", "Target `3` is not a <class 'penstock.chains.chainlet.ChainletBase'>."),
        (
            "class T(chains.TrussChainlet):\n    truss_dir = '.'\n",
            "T",
            "Target `<class 'my_chain.T'>` is not a <class 'penstock.chains.chainlet.ChainletBase'>.",
        ),
    ],
    ids=["empty", "none marked", "two marked", "unknown", "no class", "truss"],
)
def test_a_file_without_one_entrypoint_says_so(
    tmp_path: Path, source: str, entrypoint: str | None, expected: str
) -> None:
    with pytest.raises(ChainsUsageError) as caught:
        load(tmp_path, source, entrypoint=entrypoint)

    assert str(caught.value) == expected.format(file=tmp_path / "my_chain.py")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("my-chain.py", "Python file `{file}` contains `-`, use `_` instead."),
        ("model.py", "Python file name `model.py` is reserved and cannot be used. Rename the file, for example to"),
        ("chain.txt", "`{file}` is not a python file: its name must end in `.py`."),
        ("my chain.py", "Python file `{file}` must have a name that can be imported, e.g. `my_chain.py`."),
        ("__init__.py", "Python file `{file}` must have a name that can be imported, e.g. `my_chain.py`."),
        ("os.py", "Could not import `{file}`. There is already a module in `sys.modules` with name `os`."),
    ],
)
def test_some_names_of_files_cannot_be_used(tmp_path: Path, name: str, expected: str) -> None:
    with pytest.raises(ChainsUsageError) as caught:
        load(tmp_path, chainlet("A"), name)

    assert str(caught.value).startswith(expected.format(file=tmp_path / name))


def test_a_folder_is_no_chain_file(tmp_path: Path) -> None:
    with pytest.raises(ChainsUsageError, match=r"is not a file\. You must point to a python file where the entrypoint"):
        load_chain(tmp_path)


def test_a_chain_may_be_spread_over_modules_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "parts.py").write_text(PRELUDE + MARK + chainlet("A"))

    loaded = load(tmp_path, "from parts import A\n" + chainlet("B"))

    assert loaded.entrypoint.__module__ == "parts"
    assert loaded.module_name == "my_chain"


def test_problems_of_all_modules_are_reported_together(tmp_path: Path) -> None:
    (tmp_path / "parts.py").write_text(PRELUDE + "class A(chains.ChainletBase): ...\n")

    with pytest.raises(ChainsUsageError) as caught:
        load(tmp_path, "from parts import A\n" + MARK + "class B(chains.ChainletBase): ...\n")

    assert [line.partition(" ")[0] for line in str(caught.value).splitlines()[1:]] == [
        f"{tmp_path}/parts.py:2",
        f"{tmp_path}/my_chain.py:3",
    ]


def test_a_file_that_fails_leaves_nothing_behind_and_can_be_loaded_when_repaired(tmp_path: Path) -> None:
    path = list(sys.path)
    (tmp_path / "parts.py").write_text(PRELUDE + chainlet("A"))

    with pytest.raises(ZeroDivisionError):
        load(tmp_path, "from parts import A\n1 / 0\n")
    assert sys.path == path and "parts" not in sys.modules and "my_chain" not in sys.modules
    assert registry.classes() == ()
    with pytest.raises(SyntaxError):
        load(tmp_path, "def\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        load(tmp_path, "import no_such_module\n")

    assert load(tmp_path, "from parts import A\n").entrypoint.__name__ == "A"


def test_an_edit_within_a_second_is_seen(tmp_path: Path) -> None:
    for result in ("int", "str"):
        loaded = load(tmp_path, f"class A(chains.ChainletBase):\n    async def run_remote(self) -> {result}: ...\n")
        endpoint = registry.describe(loaded.entrypoint).endpoint
        assert endpoint is not None and endpoint.result_types[0].__name__ == result
        del sys.modules["my_chain"]
