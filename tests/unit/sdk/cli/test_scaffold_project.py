from __future__ import annotations

import ast

import pytest

from penstock.scaffold import Kind, project_files
from penstock.truss import parse_config


@pytest.mark.parametrize("kind", Kind)
def test_the_config_has_no_problem_and_no_warning(kind: Kind) -> None:
    config = parse_config(project_files("m", kind)["config.yaml"].encode(), name_default="other")
    assert config.model_name == "m"
    assert config.warnings == ()
    assert (config.transport.kind == "websocket") == (kind is Kind.WEBSOCKET)


@pytest.mark.parametrize("name", ["1", "7b", "no", "null", "0x10", "1e3", "true", "m"])
def test_names_that_yaml_would_take_for_something_else_stay_names(name: str) -> None:
    config = parse_config(project_files(name, Kind.PREDICT)["config.yaml"].encode(), name_default="other")
    assert config.model_name == name


@pytest.mark.parametrize("kind", Kind)
def test_the_code_has_the_method_and_names_the_model(kind: Kind) -> None:
    code = project_files("shouter", kind)["model/model.py"]
    (model,) = [node for node in ast.parse(code).body if isinstance(node, ast.ClassDef)]
    methods = {item.name for item in model.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert methods == {"__init__", "load", kind.value}
    assert "penstock call shouter" in code


def test_the_folders_of_a_truss_are_there() -> None:
    paths = project_files("m", Kind.PREDICT)
    assert {path.partition("/")[0] for path in paths} == {"config.yaml", "model", "packages", "data", ".truss_ignore"}
