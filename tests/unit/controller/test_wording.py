from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.api.control.v1 import control_pb2
from penstock_controller.cli.render import wording
from penstock_controller.cli.render.style import Style, Tone
from penstock_testing import status_messages as messages
from penstock_testing.status_messages import NOW

IDS = st.sets(st.text("ab-", min_size=1, max_size=40), max_size=12)


def test_text_cannot_steer_the_terminal() -> None:
    assert wording.printable("a\x1b[2Jb\u202ec\x07\x9b") == "a?[2Jb?c??"
    assert wording.printable("モデル café") == "モデル café"


def test_message_becomes_one_line_and_is_cut_unless_wide() -> None:
    text = "x" * 200

    assert wording.one_line("a\n b\tc", Style()) == "a b c"
    assert len(wording.one_line(text, Style())) == wording.MESSAGE_CELLS_MAX
    assert wording.one_line(text, Style(wide=True)) == text


def test_last_line_of_a_traceback_names_the_error() -> None:
    assert wording.last_line("Traceback\n  File x\nValueError: no weights\n", Style()) == "ValueError: no weights"
    assert wording.last_line("", Style()) == ""


def test_states_are_words() -> None:
    assert wording.state_word(control_pb2.REPLICA_STATE_READY) == "ready"
    assert wording.state_word(control_pb2.REPLICA_STATE_UNSPECIFIED) == "starting"
    assert wording.state_tone(control_pb2.REPLICA_STATE_LOST) is Tone.BAD


@pytest.mark.parametrize(("active", "capacity", "text"), [(3, 8, "3/8 (37%)"), (0, 0, "0/0"), (2, 0, "2/0")])
def test_use_of_slots(active: int, capacity: int, text: str) -> None:
    assert wording.used(active, capacity) == text


@pytest.mark.parametrize(("ago", "text"), [(-240.0, "in 4m"), (0.0, "now"), (9.0, "now"), (None, "-")])
def test_deadline_is_said_as_what_is_left(ago: float | None, text: str) -> None:
    assert wording.due(ago) == text


def test_absent_times_are_none() -> None:
    replica = messages.replica("aaaaa", 3)

    assert wording.since(replica, "drain_deadline", NOW) is None
    assert wording.since(replica, "started_at", NOW) == 3600
    assert wording.seconds_in(replica, "idle_for") is None
    assert wording.moment(replica, "next_start_at") is None
    assert wording.moment(replica, "started_at") == "2023-11-14T21:13:20.000Z"


def test_short_ids_are_shown_whole() -> None:
    assert wording.short_replica_ids(["echo-0a1b2c3d-aaaaa"]) == {"echo-0a1b2c3d-aaaaa": "echo-0a1b2c3d-aaaaa"}
    assert wording.short_deployment_ids(["echo-0a1b2c3d"]) == {"echo-0a1b2c3d": "echo-0a1b2c3d"}


def test_long_ids_are_shortened_to_what_tells_them_apart() -> None:
    name = "a-model-with-quite-a-long-name"
    deployments = [f"{name}-0a1b2c3d", f"{name}-0a1b9999"]
    replicas = [f"{name}-0a1b2c3d-aaaaa", f"{name}-0a1b2c3d-bbbbb"]

    assert wording.short_deployment_ids(deployments) == {
        deployments[0]: f"{name}-0a1b2",
        deployments[1]: f"{name}-0a1b9",
    }
    assert wording.short_replica_ids(replicas) == {
        replicas[0]: "0a1b2c3d-aaaaa",
        replicas[1]: "0a1b2c3d-bbbbb",
    }


def test_ids_of_chainlets_keep_what_tells_chainlets_apart() -> None:
    inner = "voice-agent-of-someone.SpeechToText-34d5d37a"
    replicas = [f"{inner}-aaaaa", f"{inner}-bbbbb", "a-chain-of-someone-else.SpeechToText-34d5d37a-aaaaa"]

    assert wording.short_deployment_ids([inner]) == {inner: "SpeechToText-34d5d37a"}
    assert wording.short_deployment_ids([inner, f"a{inner}"])[inner] == inner
    assert set(wording.short_deployment_ids(["hello.RandInt-0a1b2c3d"]).values()) == {"hello.RandInt-0a1b2c3d"}
    assert wording.short_replica_ids(replicas[:2]) == {
        replicas[0]: "SpeechToText-34d5d37a-aaaaa",
        replicas[1]: "SpeechToText-34d5d37a-bbbbb",
    }
    assert wording.short_replica_ids(replicas)[replicas[0]] == "ne.SpeechToText-34d5d37a-aaaaa"


@given(ids=IDS)
def test_short_ids_are_beginnings_or_ends_that_no_other_id_has(ids: set[str]) -> None:
    for full, short in wording.short_deployment_ids(ids).items():
        if short == full:
            continue
        if "." in full:
            assert [other for other in ids if wording.without_chain(other) == short] == [full]
        else:
            assert [other for other in ids if other.startswith(short)] == [full]
    for full, short in wording.short_replica_ids(ids).items():
        assert full.endswith(short)
        assert short == full or [other for other in ids if other.endswith(short)] == [full]


def test_many_ids_are_shortened_quickly() -> None:
    ids = [f"a-model-with-quite-a-long-name-0a1b2c3d-{n:05}" for n in range(20_000)]

    assert len(set(wording.short_replica_ids(ids).values())) == len(ids)
