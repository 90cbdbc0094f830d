from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest

from penstock.packing.ignore import ALWAYS_IGNORED, IgnoreRules


def kept(lines: list[str], paths: list[str]) -> list[str]:
    """Which of `paths` are kept, by the rules for each folder on the way."""
    rules = IgnoreRules(lines)

    def is_kept(path: str) -> bool:
        names = path.split("/")
        parts = ["/".join(names[: i + 1]) for i in range(len(names))]
        return not any(rules.ignores(part, is_folder=part != path) for part in parts)

    return [path for path in paths if is_kept(path)]


@pytest.mark.parametrize(
    ("pattern", "ignored", "stays"),
    [
        ("*.bin", ["a.bin", "data/a.bin"], ["a.bin.txt"]),
        ("data/", ["data/x"], ["data"]),
        ("/notes", ["notes", "notes/x"], ["sub/notes"]),
        ("a/b", ["a/b", "a/b/c"], ["x/a/b"]),
        ("**/tmp", ["tmp", "a/b/tmp"], ["a/tmpx"]),
        ("logs/**", ["logs/x", "logs/a/b"], ["logs"]),
        ("a/**/z", ["a/z", "a/b/c/z"], ["a/bz"]),
        ("?.txt", ["a.txt"], ["ab.txt", ".txt"]),
        ("[a-c].txt", ["b.txt"], ["d.txt"]),
        ("[!a-c].txt", ["d.txt"], ["b.txt"]),
        ("\\#x", ["#x"], ["x"]),
        ("end\\ ", ["end "], ["end"]),
        ("a*/b", ["ax/b"], ["a/x/b"]),
    ],
)
def test_a_pattern_means_what_it_means_in_gitignore(pattern: str, ignored: list[str], stays: list[str]) -> None:
    assert kept([pattern], [*ignored, *stays]) == stays


def test_the_last_match_decides_but_not_below_an_ignored_folder() -> None:
    assert kept(["*.log", "!keep.log"], ["a.log", "keep.log"]) == ["keep.log"]
    assert kept(["out/", "!out/keep"], ["out/keep"]) == []


def test_what_nobody_wants_is_ignored_unless_it_is_taken_back() -> None:
    paths = [".git/x", "a/__pycache__/b.pyc", ".venv/x", "node_modules/y", "model.pyc", "model.py"]
    assert kept([], paths) == ["model.py"]
    assert kept(["!node_modules"], paths) == ["node_modules/y", "model.py"]


def test_comments_blank_and_broken_lines_match_nothing() -> None:
    assert kept(["# x", "", "   ", "/", "!", "[", "x\\"], ["# x", "x", "["]) == ["# x", "x", "["]


@pytest.mark.skipif(shutil.which("git") is None, reason="asks git")  # git is the judge of its own patterns
def test_random_patterns_agree_with_git(tmp_path: Path) -> None:
    dice = random.Random(4)
    words = ["a", "b", "ab", "*", "?", "**", "a*", "*b", "[ab]", "[!a]", "[a-c]b", "\\a"]
    names = ["a", "b", "ab", "aab", "abb", "c", "cb"]
    paths = sorted({"/".join(dice.choices(names, k=dice.randint(1, 3))) for _ in range(60)})
    paths = [path for path in paths if not any(other.startswith(path + "/") for other in paths)]
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    for path in paths:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    for _ in range(40):
        lines = list(ALWAYS_IGNORED)
        for _ in range(dice.randint(1, 4)):
            body = "/".join(dice.choices(words, k=dice.randint(1, 3)))
            lines.append(
                dice.choice(["", "", "!"]) + dice.choice(["", "", "/"]) + body + dice.choice(["", "", "/", " "])
            )
        (tmp_path / ".gitignore").write_text("\n".join(lines) + "\n")
        listed = subprocess.run(
            ["git", "-C", str(tmp_path), "ls-files", "--others", "--exclude-standard"],
            check=True,
            capture_output=True,
            text=True,
        )
        wanted = [path for path in paths if path in set(listed.stdout.splitlines())]
        assert kept(lines[len(ALWAYS_IGNORED) :], paths) == wanted, lines
