from __future__ import annotations

from penstock.scaffold import chain_files


def test_the_chain_comes_first() -> None:
    files = chain_files("rain")
    assert list(files) == ["my_chain.py", ".truss_ignore"]
    compile(files["my_chain.py"], "my_chain.py", "exec")
    assert '@chains.mark_entrypoint("rain")' in files["my_chain.py"]
