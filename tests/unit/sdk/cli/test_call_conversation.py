from __future__ import annotations

from collections.abc import Callable

import pytest

from penstock.cli import exit_status
from penstock.cli.call.conversation import Conversation
from penstock.cli.call.printer import Printer
from penstock.cli.call.target import Target
from penstock.cli.command_error import CommandError, ReaderGoneError

ServeModel = Callable[..., str]
Capture = pytest.CaptureFixture[str]


def talk(url: str, *, timeout_s: float = 10.0, name: str = "m", is_chain: bool = False) -> int:
    target = Target(name=name, environment=None, deployment=None, kind="websocket", http=url, is_chain=is_chain)
    conversation = Conversation(target=target, url=url, headers=[("x-a", "b")], timeout_s=timeout_s, quiet_s=0.05)
    with Printer(None, indents=False) as printer:
        return conversation.run(iter(["hello"]), printer)


def test_a_conversation_that_is_over_is_closed_normally(serve_model: ServeModel, capsys: Capture) -> None:
    assert talk(serve_model()) == exit_status.OK
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("hello\n", "")


def test_a_model_may_close_it(serve_model: ServeModel, capsys: Capture) -> None:
    assert talk(serve_model("closes")) == exit_status.OK
    assert capsys.readouterr().err == "the stream ended with 1000: bye\n"


def test_another_code_is_a_failure(serve_model: ServeModel) -> None:
    with pytest.raises(CommandError, match=r"^the stream ended with 4001: too much$") as failed:
        talk(serve_model("refuses"))
    assert failed.value.status == exit_status.FAILED


def test_no_reply_in_time_is_told(serve_model: ServeModel) -> None:
    with pytest.raises(CommandError, match=r"no reply within 0.1 s") as failed:
        talk(serve_model("silent"), timeout_s=0.1)
    assert failed.value.status == exit_status.TIMED_OUT


def test_a_model_that_is_not_there_has_its_own_status(serve_model: ServeModel) -> None:
    with pytest.raises(CommandError) as failed:
        talk(serve_model(), name="other")
    assert failed.value.status == exit_status.NOT_FOUND


def test_an_edge_that_is_gone_is_told() -> None:
    with pytest.raises(CommandError):
        talk("http://127.0.0.1:1")


@pytest.mark.parametrize("problem", [ReaderGoneError(), CommandError("cannot write the answer")])
def test_an_answer_that_cannot_be_shown_ends_it(
    serve_model: ServeModel, monkeypatch: pytest.MonkeyPatch, problem: Exception
) -> None:
    def fail(*_: object) -> None:
        raise problem

    monkeypatch.setattr(Printer, "message", fail)
    with pytest.raises(type(problem)):
        talk(serve_model())


def test_a_chain_has_a_path_of_its_own(serve_model: ServeModel, capsys: Capture) -> None:
    assert talk(serve_model(), name="c", is_chain=True) == exit_status.OK
    assert capsys.readouterr().out == "hello\n"
