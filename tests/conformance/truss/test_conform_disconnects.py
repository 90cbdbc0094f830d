"""truss.md section 2.5: what a model notices, and what happens, when its client leaves."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from penstock_testing.static_platform import wait_until
from penstock_testing.truss_conformance import ANSWER_SECONDS, ModelDoor

Door = Callable[[str], ModelDoor]


@pytest.fixture
def model(door: Door) -> ModelDoor:
    return door("disconnects")


def told(model: ModelDoor, key: str) -> object:
    """What the model has noted under `key`; waits for it."""

    def seen() -> object:
        return model.predict({"do": "tell"}).get(key)

    wait_until(lambda: seen() is not None, ANSWER_SECONDS, f"the model has noted {key!r}")
    return seen()


def test_is_disconnected_turns_true_when_the_client_leaves(model: ModelDoor) -> None:
    connection = model.asked({"do": "poll"})
    assert told(model, "polling")
    connection.close()

    assert told(model, "poll") == "gone"


def test_watch_disconnect_wakes_a_thread_when_the_client_leaves(model: ModelDoor) -> None:
    with model.stream({"do": "watch"}) as streamed:
        assert streamed.chunk() == b"watching\n"

    assert told(model, "watch") == "gone"


def test_the_work_goes_on_when_the_client_leaves(model: ModelDoor) -> None:
    connection = model.asked({"do": "ignore"})
    assert told(model, "ignoring")
    connection.close()

    assert told(model, "ignored") == "went on"


def test_no_further_step_begins_for_a_client_that_has_left(model: ModelDoor) -> None:
    connection = model.asked({"do": "leave before predict"})
    assert told(model, "entered")
    connection.close()

    assert told(model, "left")
    assert model.predict({"do": "?"}) == {"connected": True}
    assert "predicted" not in model.predict({"do": "tell"})


def test_the_work_is_cancelled_where_config_yaml_says_so(door: Door) -> None:
    """Three times with two permits, one of which is needed to ask: each is given back."""
    model = door("cancelled-with-client")
    for number in (1, 2, 3):
        connection = model.asked("work")
        wait_until(partial(has_counted, model, "started", number), ANSWER_SECONDS, "the work has begun")
        connection.close()

        wait_until(partial(has_counted, model, "cancelled", number), ANSWER_SECONDS, "the work was cancelled")


def has_counted(model: ModelDoor, key: str, number: int) -> bool:
    return bool(model.predict("tell")[key] == number)
