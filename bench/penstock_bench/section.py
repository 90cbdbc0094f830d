"""A part of RESULTS.md that a program writes between two marks. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from penstock_bench.report import NOTES_MARK


@dataclass(frozen=True, slots=True)
class Section:
    """The marks around it, which are lines of their own and found nowhere else in the document."""

    begin: str
    end: str

    def put(self, document: str, text: str) -> str:
        """`document` with the section in its place: where it was, else before the hand-written notes, else at the end.
        Nothing changes when `text` is empty."""
        if not text:
            return document
        marked = f"{self.begin}\n\n{text.strip()}\n\n{self.end}\n"
        before, found, rest = document.partition(self.begin)
        if found:
            return before + marked + rest.partition(self.end)[2].removeprefix("\n")
        before, found, notes = document.partition(NOTES_MARK)
        gap = "" if before.endswith("\n\n") or not before else "\n"
        return f"{before}{gap}{marked}\n{found}{notes}" if found else f"{before}{gap}{marked}"

    def take(self, document: str) -> str:
        """The section of a document; empty when it has none."""
        return document.partition(self.begin)[2].partition(self.end)[0].strip()
