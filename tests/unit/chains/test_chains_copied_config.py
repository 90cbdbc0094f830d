"""config.yaml of Truss directories that become chainlets."""

from __future__ import annotations

import yaml

from penstock.chains.copied_config import copied_config, copied_requirements

LEFT_OUT = "is left out: chains run on Penstock's own implementation"


def data_of(config: str) -> dict[str, object]:
    found: dict[str, object] = yaml.safe_load(copied_config(config, name="b.C", chain="b", chainlet="C").text)
    return found


def test_name_and_place_are_written_and_nothing_else_is_changed() -> None:
    place = {"chain": "b", "chainlet": "C", "is_entrypoint": False}

    assert data_of("") == {"model_name": "b.C", "model_metadata": {"chains_metadata": place}}
    assert data_of("model_name: a\nx: 1\nmodel_metadata: {tags: [t], chains_metadata: 1}\n") == {
        "model_name": "b.C",
        "x": 1,
        "model_metadata": {"tags": ["t"], "chains_metadata": place},
    }


def test_requirements_that_install_truss_are_left_out() -> None:
    text = "requirements: [numpy, truss_chains, 'truss @ git+https://x/truss.git', trussed, httpx]\n"
    found = copied_config(text, name="b.C", chain="b", chainlet="C")

    assert yaml.safe_load(found.text)["requirements"] == ["numpy", "trussed", "httpx"]
    assert found.warnings == (
        f"the requirement 'truss_chains' {LEFT_OUT}",
        f"the requirement 'truss @ git+https://x/truss.git' {LEFT_OUT}",
    )


def test_a_file_of_requirements_is_changed_only_where_it_must_be() -> None:
    assert copied_requirements("a \r\n# b\n").text == "a \r\n# b\n"
    found = copied_requirements("a\ntruss==0.9\n# b\n")
    assert (found.text, found.warnings) == ("a\n# b\n", (f"the requirement 'truss==0.9' {LEFT_OUT}",))
