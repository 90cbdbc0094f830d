from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from penstock.cli.call.source_kind import endpoints_of_source, kind_of_source

MakeModel = Callable[..., Path]


def test_the_methods_of_the_class_tell(make_model: MakeModel) -> None:
    both = (
        "class Model:\n    async def websocket(self, w): ...\n    def predict(self, x): ...\n    def other(self): ...\n"
    )
    assert endpoints_of_source(make_model(code=both)) == ("websocket", "predict")
    assert kind_of_source(make_model(code=both)) == "websocket"
    assert kind_of_source(make_model(code="class Model:\n    def embeddings(self, x): ...\n")) == "predict"


def test_only_the_class_of_the_model_counts(make_model: MakeModel) -> None:
    code = "class Helper:\n    def websocket(self): ...\n\nclass Model:\n    def predict(self, x): ...\n"
    assert kind_of_source(make_model(code=code)) == "predict"


def test_code_that_cannot_be_read_leaves_it_to_the_config(make_model: MakeModel) -> None:
    assert kind_of_source(make_model(code="class Model(")) is None
    config = "model_name: m\nruntime:\n  transport:\n    kind: websocket\n"
    assert kind_of_source(make_model(config, code="class Model(")) == "websocket"


def test_nothing_is_known_of_a_folder_without_a_model(tmp_path: Path) -> None:
    assert kind_of_source(tmp_path) is None
    assert endpoints_of_source(tmp_path) == ()


def test_the_code_does_not_run(make_model: MakeModel) -> None:
    code = "raise SystemExit\nclass Model:\n    def predict(self, x): ...\n"
    assert kind_of_source(make_model(code=code)) == "predict"
