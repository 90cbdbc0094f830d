"""The code, the commands and the tables of the pages hold for a running platform.

A block is run when the line before it is a comment with what it is:

    <!-- run: file upper/config.yaml -->   a file of a model, which the platform then serves
    <!-- run: chain hello.py -->           the file of a chain, which the platform serves, too
    <!-- run: python -->                   a program; an <!-- run: output --> after it holds all that it prints
    <!-- run: console -->                  commands, each after "$ "; they must end with status 0

Addresses are those of the default ports, and stand for the ones of the platform under test. A model whose page shows no
config.yaml gets one that only names it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from penstock_testing.platform import Platform, running_platform
from penstock_testing.source_tree import files, text

PAGES = [name for name in files() if name == "README.md" or re.fullmatch(r"docs/[^/]+\.md", name)]
OPERATING = "docs/operating.md"

ReadTable = Callable[[str, str], list[list[str]]]

SECONDS = 60.0
"""How long a program or command of a page may take."""

MARKED = re.compile(r"^<!-- run: ([^\n]+?) -->\n```(\w+)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
KINDS = {"python": "python", "console": "console", "output": "text"}
"""What a mark says, and the language that the block then has."""


@dataclass(frozen=True, slots=True)
class Block:
    """A marked block of a page."""

    page: str
    line: int
    mark: str
    language: str
    content: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: str) -> list[Block]:
    """Every marked block of a page, in order."""
    source = text(page)
    return [Block(page, source.count("\n", 0, m.start()) + 1, *m.groups()) for m in MARKED.finditer(source)]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
PROGRAMS = [block for block in BLOCKS if block.mark == "python"]
COMMANDS = [
    pytest.param(line.removeprefix("$ "), id=f"{block}: {line}")
    for block in BLOCKS
    if block.mark == "console"
    for line in block.content.splitlines()
    if line.startswith("$ ")
]


def output_after(program: Block) -> str | None:
    """What the page says that a program prints; None when it does not say."""
    after = BLOCKS[BLOCKS.index(program) + 1 :]
    return after[0].content if after and after[0].page == program.page and after[0].mark == "output" else None


def shape(value: Any) -> Any:
    """The keys of a JSON value at every depth; of a list those of its first item."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    return [shape(item) for item in value[:1]] if isinstance(value, list) else None


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Serves every model and every chain that the pages show."""
    folder = tmp_path_factory.mktemp("models")
    models: dict[str, set[str]] = defaultdict(set)
    for block in BLOCKS:
        if block.mark.startswith("file "):
            model, _, name = block.mark.removeprefix("file ").partition("/")
            path = folder / model / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.content)
            models[model].add(name)
    for model, names in models.items():
        if "config.yaml" not in names:
            (folder / model / "config.yaml").write_text(f"model_name: {model}\n")
    chains = [block for block in BLOCKS if block.mark.startswith("chain ")]
    files = [folder / f"chain_{number}" / block.mark.removeprefix("chain ") for number, block in enumerate(chains)]
    for file, block in zip(files, chains, strict=True):
        file.parent.mkdir()
        file.write_text(block.content)
    with running_platform([*(folder / model for model in models), *files]) as running:
        yield running


@pytest.fixture
def environment(platform: Platform) -> dict[str, str]:
    """What a reader's shell would have: our commands on the path, and this platform's state folder as the default."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": path, "PENSTOCK_STATE_DIR": str(platform.state_dir), "PYTHONSAFEPATH": "1"}


def here(content: str, platform: Platform) -> str:
    """The content with the addresses of this platform."""
    http = platform.http.removeprefix("http://")
    return content.replace("127.0.0.1:8000", http).replace("127.0.0.1:8001", platform.grpc)


def test_every_mark_is_understood() -> None:
    marks = re.findall(r"^<!-- run.*", "\n".join(map(text, PAGES)), flags=re.MULTILINE)
    wrong = [str(b) for b in BLOCKS if not b.mark.startswith(("file ", "chain ")) and KINDS.get(b.mark) != b.language]

    assert len(marks) == len(BLOCKS), "a mark stands in the line before its block: <!-- run: python -->"
    assert wrong == []
    assert PROGRAMS and COMMANDS


@pytest.mark.parametrize("program", PROGRAMS, ids=str)
def test_program_of_a_page_prints_what_the_page_says(
    program: Block, platform: Platform, environment: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "program.py"
    path.write_text(here(program.content, platform))

    done = subprocess.run(
        [sys.executable, path], env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )

    assert done.returncode == 0, done.stderr
    expected = output_after(program)
    assert expected is None or done.stdout == expected


@pytest.mark.parametrize("command", COMMANDS)
def test_command_of_a_page_succeeds(command: str, platform: Platform, environment: dict[str, str]) -> None:
    if shutil.which(command.split()[0], path=environment["PATH"]) is None:
        pytest.skip(f"{command.split()[0]} is not installed")

    done = subprocess.run(
        ["sh", "-c", here(command, platform)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )

    assert done.returncode == 0, done.stderr


def test_documented_metrics_are_the_exposed_ones(platform: Platform, read_table: ReadTable) -> None:
    with connect(platform.websocket("upper")) as client:
        client.send("x")
        assert client.recv() == "X"
    with pytest.raises(InvalidStatus):
        connect(f"{platform.edge}/model/nobody/websocket")
    with urllib.request.urlopen(f"{platform.http}/metrics", timeout=SECONDS) as answer:
        exposed = answer.read().decode()
    # The library makes a gauge of its own for each counter and histogram.
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", exposed, flags=re.MULTILINE))
    own = {name: kind for name, kind in types.items() if not name.endswith("_created")}
    labels: dict[str, set[str]] = defaultdict(set)
    for name, names in re.findall(r"^(\w+)\{(.*)\} ", exposed, flags=re.MULTILINE):
        labels[re.sub(r"_(bucket|count|sum)$", "", name)] |= set(re.findall(r'(\w+)="', names)) - {"le"}

    documented = {row[0].strip("`"): row[1:3] for row in read_table(OPERATING, "metric | type | labels | meaning")}

    assert {name: kind for name, (kind, _) in documented.items()} == own
    for name, found in labels.items():
        if name in documented:
            assert set(documented[name][1].split(", ")) == found, name


def test_documented_status_has_the_fields_of_the_real_one(platform: Platform) -> None:
    (example,) = re.findall(r"^```json\n(.*?)^```$", text(OPERATING), flags=re.MULTILINE | re.DOTALL)

    status = platform.status()
    # The first of each list is compared, and the example shows a model.
    status["deployments"].sort(key=lambda deployment: deployment["chain"] is not None)

    assert shape(json.loads(example)) == shape(status)


def test_every_column_of_the_status_is_documented(environment: dict[str, str], read_table: ReadTable) -> None:
    table = subprocess.run(
        [sys.executable, "-P", "-m", "penstock_controller", "status"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    ).stdout
    titles = {
        title for line in table.splitlines() if re.match("(MODEL|REPLICA|EDGE) ", line) for title in line.split("  ")
    } - {""}

    documented = {
        name for row in read_table(OPERATING, "column | meaning") for name in re.findall(r"`([A-Z ]+)`", row[0])
    }

    assert {title.strip() for title in titles} == documented


def test_state_folder_holds_what_is_documented(platform: Platform, read_table: ReadTable) -> None:
    # Files that SQLite keeps beside a database in use.
    found = {p.name for p in platform.state_dir.iterdir() if not p.name.endswith(("-shm", "-wal"))}

    rows = read_table(OPERATING, "name | content")
    documented = {name.split("/")[0] for row in rows for name in re.findall(r"`([^`]+)`", row[0])}

    # The socket is elsewhere when the path of the folder is too long for one; some come with the first push or watch.
    assert found | {"controller.sock", "artifacts", "watched_chains"} == documented


def test_block_without_a_mark_is_left_alone() -> None:
    assert MARKED.search("<!-- run: python -->\n```python\n1 / 0\n```\n")
    assert not MARKED.search("```python\n1 / 0\n```\n")
