"""The model code of examples/word_stream as the runner serves it, without a platform."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

from penstock.truss import load_config
from penstock_runner.model.definition import check_model
from penstock_runner.model.loaded import LoadedModel
from penstock_runner.predict.app import RequestApp
from penstock_testing.asgi_call import Answer, ask

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "word_stream"


def asked(**fields: object) -> Answer:
    file = EXAMPLE / "model" / "model.py"
    spec = importlib.util.spec_from_file_location("word_stream_model", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.Model()
    model.load()
    loaded = LoadedModel(instance=model, websocket=None, model_file=file, definition=check_model(model))
    return ask(RequestApp(loaded, load_config(EXAMPLE)), body=json.dumps(fields).encode())


def test_words_are_counted() -> None:
    answer = asked(text="to be or not to be")

    assert answer.status == 200
    assert answer.json() == {"words": 6, "most_common": [["to", 2], ["be", 2], ["or", 1]], "requests": 1}


def test_words_come_one_by_one() -> None:
    assert asked(text="to be or", stream=True).parts == [b"to\n", b"be\n", b"or\n"]


def test_a_wrong_field_is_named() -> None:
    answer = asked(text=5)

    assert answer.status == 400
    assert "`text`" in answer.json()["error"]
