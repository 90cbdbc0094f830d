from __future__ import annotations

import errno
import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from penstock.weights import transfer as transfer_module
from penstock.weights.errors import Stopped, TransferError, WeightsError
from penstock.weights.progress import SharedProgress
from penstock.weights.remote_file import Opened, RemoteFile
from penstock.weights.retrying import RetryPolicy
from penstock.weights.transfer import Transfer, TransferSettings

CONTENT = bytes(range(256)) * 40
DIGEST = hashlib.sha256(CONTENT).hexdigest()
BROKE = TransferError("the connection broke", retryable=True)


@dataclass(frozen=True)
class Answer:
    """How an attempt goes: the bytes sent, then an error or the end."""

    content: bytes = CONTENT
    sent: int | None = None
    error: TransferError | None = None
    total: int | None = len(CONTENT)
    validator: str = "v1"
    sha256: str | None = None
    ranges: bool = True
    refuse: TransferError | None = None
    before_read: Callable[[], None] = lambda: None


@dataclass
class ScriptedOrigin:
    """An origin whose attempts go as they are told; the last one again and again."""

    answers: list[Answer]
    asked: list[tuple[int, str]] = field(default_factory=list)
    closed: int = 0

    def open(self, offset: int, validator: str) -> Opened:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.asked.append((offset, validator))
        if answer.refuse is not None:
            raise answer.refuse
        begin = offset if answer.ranges else 0
        end = len(answer.content) if answer.sent is None else begin + answer.sent
        left = bytearray(answer.content[begin:end])

        def read(count: int) -> bytes:
            answer.before_read()
            if not left and answer.error is not None:
                raise answer.error
            piece = bytes(left[:count])
            del left[:count]
            return piece

        return Opened(
            read=read,
            close=self._close,
            offset=begin,
            total=answer.total,
            validator=answer.validator,
            sha256=answer.sha256,
        )

    def _close(self) -> None:
        self.closed += 1


class Bench:
    """A transfer with everything around it."""

    def __init__(self, folder: Path, *answers: Answer, failures_max: int = 3) -> None:
        self.origin = ScriptedOrigin(list(answers))
        self.folder = folder
        self.lines: list[str] = []
        self.stop = threading.Event()
        self.now = 0.0
        self.rooms = 0
        retry = RetryPolicy(failures_max=failures_max, delay_first_s=0.001, delay_max_s=0.001)
        self.transfer = Transfer(
            folder=folder / "files",
            parts=folder / "parts",
            key="weights[0].source",
            progress=SharedProgress("x", total=None, report=self.lines.append, clock=lambda: 0.0),
            stop=self.stop,
            make_room=self._make_room,
            report=self.lines.append,
            settings=TransferSettings(retry=retry),
            clock=lambda: self.now,
        )

    def _make_room(self) -> None:
        self.rooms += 1

    def fetch(self, *, size: int | None = None, sha256: str | None = None) -> str:
        file = RemoteFile(name="sub/x.bin", size=size, sha256=sha256, origin=self.origin)
        return self.transfer.fetch(file).sha256

    @property
    def target(self) -> Path:
        return self.folder / "files/sub/x.bin"

    @property
    def part(self) -> Path:
        return next(iter(self.folder.glob("parts/*.part")), self.folder / "none")


def test_a_file_arrives_whole_and_read_only(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Answer())

    assert bench.fetch(size=len(CONTENT), sha256=DIGEST) == DIGEST

    assert bench.target.read_bytes() == CONTENT
    assert bench.target.stat().st_mode & 0o222 == 0
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [bench.target]
    assert bench.origin.closed == 1


def test_a_broken_transfer_goes_on_where_it_was(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Answer(sent=3000, error=BROKE), Answer(sent=2000), Answer())

    bench.fetch(sha256=DIGEST)

    assert bench.origin.asked == [(0, ""), (3000, "v1"), (5000, "v1")]
    assert bench.target.read_bytes() == CONTENT


def test_what_an_earlier_process_began_is_gone_on_with(tmp_path: Path) -> None:
    with pytest.raises(WeightsError):
        Bench(tmp_path, Answer(sent=3000, error=BROKE), Answer(refuse=BROKE)).fetch()
    later = Bench(tmp_path, Answer())

    later.fetch(sha256=DIGEST)

    assert later.origin.asked == [(3000, "v1")]


def test_a_file_that_is_complete_already_is_not_fetched_again(tmp_path: Path) -> None:
    Bench(tmp_path, Answer()).fetch()
    later = Bench(tmp_path, Answer(refuse=BROKE))

    assert later.fetch() == DIGEST
    assert later.origin.asked == []


@pytest.mark.parametrize("second", [Answer(validator="v2"), Answer(total=1)])
def test_parts_of_two_versions_are_never_joined(tmp_path: Path, second: Answer) -> None:
    """Even if the server sends the rest as asked for: what it says of it differs."""
    bench = Bench(tmp_path, Answer(content=b"\0" * 9000, sent=3000, error=BROKE), second, Answer(validator="v2"))

    bench.fetch()

    assert bench.origin.asked == [(0, ""), (3000, "v1"), (0, "")]
    assert bench.target.read_bytes() == CONTENT


def test_a_server_that_begins_anew_is_taken_from_the_beginning(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Answer(sent=3000, error=BROKE), Answer(ranges=False))

    bench.fetch(sha256=DIGEST)

    assert bench.target.read_bytes() == CONTENT


def test_without_a_mark_of_the_version_parts_are_joined_only_under_a_checksum(tmp_path: Path) -> None:
    one = Bench(tmp_path / "a", Answer(validator="", sent=3000, error=BROKE), Answer(validator=""))
    one.fetch()
    other = Bench(tmp_path / "b", Answer(validator="", sent=3000, error=BROKE), Answer(validator=""))
    other.fetch(sha256=DIGEST)

    assert [offset for offset, _ in one.origin.asked] == [0, 0]
    assert [offset for offset, _ in other.origin.asked] == [0, 3000]


def test_a_part_that_is_of_no_use_is_dropped(tmp_path: Path) -> None:
    stale = TransferError("shorter", retryable=True, is_stale=True)
    bench = Bench(tmp_path, Answer(sent=3000, error=BROKE), Answer(refuse=stale), Answer())

    bench.fetch()

    assert [offset for offset, _ in bench.origin.asked] == [0, 3000, 0]


def test_it_is_given_up_after_failures_without_a_new_byte(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Answer(sent=3000, error=BROKE), Answer(refuse=BROKE))

    with pytest.raises(WeightsError, match=r"x\.bin: the connection broke \(attempt 3\)") as caught:
        bench.fetch()

    assert caught.value.key == "weights[0].source"
    assert bench.part.stat().st_size == 3000
    assert "2.9 KiB are kept" in bench.lines[0]


def test_as_long_as_bytes_come_it_goes_on(tmp_path: Path) -> None:
    drops = [Answer(sent=1000, error=BROKE)] * 9
    bench = Bench(tmp_path, *drops, Answer(), failures_max=2)

    bench.fetch(sha256=DIGEST)

    assert len(bench.origin.asked) == 10


def test_a_final_refusal_is_not_tried_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Answer(refuse=TransferError("answered 404", retryable=False)))

    with pytest.raises(WeightsError, match=r"answered 404$"):
        bench.fetch()

    assert len(bench.origin.asked) == 1


def test_a_server_that_announces_more_than_it_sends_is_given_up(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Answer(total=len(CONTENT) + 5))

    with pytest.raises(WeightsError, match="the server ended after 10240 of 10245 bytes"):
        bench.fetch()


@pytest.mark.parametrize(
    ("answer", "size", "sha256", "reason"),
    [
        (Answer(), 5, None, "has 10240 bytes at the server; 5 were announced"),
        (Answer(total=None), 5, None, "has more than the 5 bytes that were announced"),
        (Answer(), None, "0" * 64, "expected 0000"),
        (Answer(sha256="0" * 64), None, None, "expected 0000"),
    ],
)
def test_wrong_content_is_fetched_once_more_then_refused_and_removed(
    tmp_path: Path, answer: Answer, size: int | None, sha256: str | None, reason: str
) -> None:
    bench = Bench(tmp_path, answer)

    with pytest.raises(WeightsError, match=reason):
        bench.fetch(size=size, sha256=sha256)

    assert len(bench.origin.asked) == 2
    assert not bench.part.exists()
    assert not bench.target.exists()


def test_a_corrupt_part_is_replaced_by_the_right_file(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Answer(content=b"\0" * 9000, sent=3000, error=BROKE), Answer())

    assert bench.fetch(sha256=DIGEST) == DIGEST

    assert [offset for offset, _ in bench.origin.asked] == [0, 3000, 0]


def test_a_server_that_only_drips_is_left(tmp_path: Path) -> None:
    def minute() -> None:
        bench.now += 61.0

    bench = Bench(tmp_path, Answer(sent=10, before_read=minute), Answer())

    bench.fetch(sha256=DIGEST)

    assert "the server sent only 10 B in 61 s" in bench.lines[0]
    assert bench.origin.asked[1] == (10, "v1")


def test_a_stop_ends_it_in_the_middle_and_while_waiting(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "a", Answer(before_read=lambda: bench.stop.set()))
    with pytest.raises(Stopped):
        bench.fetch()

    waiting = Bench(tmp_path / "b", Answer(refuse=TransferError("503", retryable=True, retry_after_s=100)))
    waiting.stop.set()
    with pytest.raises(Stopped):
        waiting.fetch()


def test_room_is_looked_for_while_a_file_of_unknown_length_grows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer_module, "ROOM_CHECK_BYTES", 4000)
    monkeypatch.setattr(transfer_module, "READ_BYTES", 1000)
    bench = Bench(tmp_path, Answer(total=None))

    bench.fetch()

    assert bench.rooms == 2


def test_a_file_that_is_larger_than_the_disk_is_refused_at_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Answer(total=10**18))

    with pytest.raises(WeightsError, match=r"x\.bin needs 888 PiB more, and .* are free on the disk of") as caught:
        bench.fetch()

    assert "make room" in str(caught.value)


def test_a_disk_that_becomes_full_is_named_and_the_part_kept(tmp_path: Path) -> None:
    def full() -> None:
        if bench.part.exists() and bench.part.stat().st_size:
            raise OSError(errno.ENOSPC, "No space left on device")

    bench = Bench(tmp_path, Answer(sent=3000, error=BROKE), Answer(before_read=full))

    with pytest.raises(WeightsError, match=r"x\.bin cannot be written: No space left on device \(.*\.part, .* free"):
        bench.fetch()

    assert bench.part.stat().st_size == 3000


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files/sub").write_text("a file, not a folder")

    with pytest.raises(WeightsError, match="cannot be written to"):
        Bench(tmp_path, Answer()).fetch()


def test_a_length_that_is_told_only_later_is_no_change(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Answer(total=None, sent=3000, error=BROKE), Answer())

    bench.fetch(sha256=DIGEST)

    assert [offset for offset, _ in bench.origin.asked] == [0, 3000]
