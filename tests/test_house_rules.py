"""Rules of this repository that no linter knows. Each failure names the file and what to do.

The tables of exceptions hold a reason each, and an exception that is no longer needed fails too.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path, PurePosixPath

import pytest

from penstock_testing.source_tree import PACKAGES, ROOT, dotted, files, is_handwritten, python_files, syntax, text

LINES_MAX = 700
LINES_UNLISTED_MAX = 500

LONG_FILES: dict[str, str] = {}
"""Python files of more than 500 lines, with the reason why they are still one noun."""

WITHOUT_TWIN: dict[str, str] = {}
"""Modules without a unit test of their own name: shells, with the test that runs them for real."""

TWIN_FOLDERS = {
    "sdk": (
        "tests/unit/",
        "tests/unit/chains/",
        "tests/unit/sdk/",
        "tests/unit/sdk/cli/",
        "tests/unit/sdk/packing/",
        "tests/unit/sdk/preparation/",
        "tests/unit/sdk/weights/",
        "tests/unit/trunk/",
        "tests/unit/truss/",
    ),
    "edge": ("tests/unit/edge/",),
    "runner": ("tests/unit/runner/", "tests/unit/runner/predict/"),
    "controller": ("tests/unit/controller/",),
}

MODELS = ("tests/conformance/chains/", "tests/conformance/models/")
"""Trusses and chains as their authors write them: no tests, and not in our style."""

TASK_HOLDERS: dict[str, str] = {
    "controller/penstock_controller/tasks.py": "the set of a component, which cancels and awaits them at its stop",
    "edge/penstock_edge/grpc_stream.py": "the call's handler, which cancels the reader when it ends",
    "edge/penstock_edge/async_requests.py": "the owner of asynchronous requests, which ends them at its stop",
    "edge/penstock_edge/message_requests.py": "the connection, which cancels its work when it closes",
    "edge/penstock_edge/server.py": "the function that runs the server until the process ends",
    "edge/penstock_edge/grpc_predict.py": "the call, which cancels the sender of its body at its end",
    "edge/penstock_edge/http_request.py": "the request, which cancels the sender of its body and waits for it",
    "runner/penstock_runner/model/solo_call.py": "the call, one at a time, which its owner cancels",
    "runner/penstock_runner/model_life.py": "the life of the model, which cancels both when the replica stops",
    "runner/penstock_runner/predict/app.py": "the app, for one health check at a time",
    "runner/penstock_runner/predict/disconnect.py": "the presence of one client, which cancels it after the answer",
    "runner/penstock_runner/predict/streaming.py": "the call that sends the stream, or its streamer after a cut",
    "runner/penstock_runner/process.py": "the function that waits for one of them and cancels the other",
    "runner/penstock_runner/replica.py": "a set of announcements, each of which discards itself at its end",
    "runner/penstock_runner/request_session.py": "the session, which cancels its work when it is ended",
    "runner/penstock_runner/sessions.py": "the session, which cancels its handler and waits for it",
    "sdk/penstock/chains/remote/conversation.py": "the conversation, which ends the sender of its items with itself",
    "sdk/penstock/client/grpc_carrier.py": "the carrier, which cancels and awaits both when it is closed",
    "sdk/penstock/trunk/connection.py": "the trunk, which its owner stops",
    "sdk/penstock/trunk/served.py": "the handler of the trunk's call, which ends the writer with itself",
}
"""Modules that create tasks outside of a TaskGroup, with who keeps and ends them."""

TEST_SLEEPS: dict[str, str] = {
    "tests/unit/chains/test_chains_callee.py": "sleeps in virtual time, which takes none",
    "tests/unit/chains/test_chains_concurrency.py": "sleeps in virtual time, which takes none",
    "tests/unit/chains/test_chains_edge_link.py": "sleeps in virtual time, which takes none",
    "tests/unit/edge/test_inner_stream.py": "sleeps in virtual time, which takes none",
    "tests/unit/trunk/test_trunk_served.py": "pings a server of gRPC, whose clock is its own",
    "tests/unit/support/test_virtual_time.py": "sleeps in virtual time, which takes none",
}
"""Test files that sleep, with the reason why no condition can be waited for."""

MAY_PRINT = ("sdk/penstock/cli/", "controller/penstock_controller/cli/", "examples/", "bench/", "tools/")


def assert_listed(found: set[str], table: dict[str, str], advice: str) -> None:
    """Compares what breaks a rule with the exceptions to it."""
    assert sorted(found - set(table)) == [], advice
    assert sorted(set(table) - found) == [], "no longer an exception: take it out of the table"
    assert [name for name, reason in table.items() if len(reason.split()) < 3] == [], "say why"


def length(name: str) -> int:
    return text(name).count("\n")


def test_no_file_is_too_long() -> None:
    sources = [name for name in files() if PurePosixPath(name).suffix in {".py", ".c", ".h", ".proto", ".md", ".sh"}]

    too_long = {name: length(name) for name in sources if is_handwritten(name) and length(name) > LINES_MAX}

    assert too_long == {}, f"split what holds more than {LINES_MAX} lines"


def test_long_python_files_are_listed() -> None:
    long = {name for name in python_files() if length(name) > LINES_UNLISTED_MAX}

    assert_listed(long, LONG_FILES, f"split what holds more than {LINES_UNLISTED_MAX} lines, or give the reason here")


def test_the_readme_fits_its_purpose() -> None:
    assert length("README.md") <= 150


def does_something(node: ast.AST) -> bool:
    """Whether `node` is a function with a body of its own, unlike the methods of a Protocol."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    return not all(
        isinstance(statement, ast.Pass)
        or (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        for statement in node.body
    )


def is_trivial(name: str) -> bool:
    """Whether a module only imports, names and declares things, or only starts a process."""
    return PurePosixPath(name).name == "__main__.py" or not any(map(does_something, ast.walk(syntax(name))))


def twins(name: str) -> set[str]:
    """Paths that the unit test of a module may have. Names of test modules are unique, so some carry a prefix."""
    path = PurePosixPath(name)
    component = path.parts[0]
    stem = path.parent.name if path.name == "__init__.py" else path.stem
    prefixes = {"", *(f"{folder}_" for folder in path.parts[:-1])}
    return {f"{folder}test_{prefix}{stem}.py" for folder in TWIN_FOLDERS[component] for prefix in prefixes}


def test_every_module_has_a_unit_test_of_its_name() -> None:
    tests = set(python_files("tests/unit/"))

    missing = {name for name in python_files(*PACKAGES) if not is_trivial(name) and not twins(name) & tests}

    assert_listed(missing, WITHOUT_TWIN, "add tests/unit/<component>/test_<module>.py, or say here what tests it")
    for name, reason in WITHOUT_TWIN.items():
        assert (ROOT / reason.split()[0]).exists(), f"{name}: begin with the path of the test"


def test_names_of_test_modules_are_unique() -> None:
    names = Counter(PurePosixPath(name).name for name in python_files("tests/", "examples/", "bench/"))

    assert [name for name, count in names.items() if name.startswith("test_") and count > 1] == []


def test_every_example_has_a_readme_and_a_test() -> None:
    examples = {name.split("/")[1] for name in files() if name.startswith("examples/") and name.count("/") > 1}
    tests = "".join(text(name) for name in python_files("tests/", "examples/") if "/test_" in name)
    tests += "".join(text(name) for name in python_files("tests/support/"))

    for example in examples:
        assert f"examples/{example}/README.md" in files()
        assert re.search(rf"\b{re.escape(example)}\b", tests), f"nothing tests examples/{example}"


def test_tests_do_not_sleep() -> None:
    """A sleep is too short on a busy machine and too long on an idle one: wait for the condition, with a limit."""
    sleeping = set()
    for name in python_files("tests/"):
        if name.startswith(MODELS):
            continue
        for node in ast.walk(syntax(name)):
            if isinstance(node, ast.Call) and dotted(node.func) in {"time.sleep", "asyncio.sleep"}:
                yields_only = isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
                if not yields_only:
                    sleeping.add(name)

    assert_listed(sleeping, TEST_SLEEPS, "wait for the condition, with a limit")


def test_only_programs_for_people_print() -> None:
    printing = [
        f"{name}:{node.lineno}"
        for name in python_files(*PACKAGES, "tests/")
        if not name.startswith(MAY_PRINT)
        for node in ast.walk(syntax(name))
        if isinstance(node, ast.Call) and dotted(node.func) == "print"
    ]

    assert printing == [], "log with structlog instead"


def creates_task(node: ast.AST) -> bool:
    """Whether `node` makes a task that no TaskGroup owns. The loop of asyncio keeps only a weak reference to it."""
    if not isinstance(node, ast.Call):
        return False
    owner, _, method = dotted(node.func).rpartition(".")
    if method == "ensure_future":
        return True
    return method == "create_task" and (owner.rpartition(".")[2].endswith(("asyncio", "loop")) or owner == "")


def test_no_task_is_left_without_an_owner() -> None:
    unowned = [
        f"{name}:{node.lineno}"
        for name in python_files()
        for node in ast.walk(syntax(name))
        if isinstance(node, ast.Expr) and creates_task(node.value)
    ]

    assert unowned == [], "keep the task, or use a TaskGroup"


def test_modules_that_create_tasks_say_who_holds_them() -> None:
    creating = {name for name in python_files(*PACKAGES) if any(creates_task(node) for node in ast.walk(syntax(name)))}

    assert_listed(creating, TASK_HOLDERS, "use a TaskGroup, or say here who keeps and ends the task")


def test_every_todo_names_an_issue() -> None:
    mark = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b(?!.*(#|issue )\d+)")
    nameless = [
        f"{name}:{number}"
        for name in files()
        if is_handwritten(name)
        for number, line in enumerate(text(name).splitlines(), 1)
        if mark.search(line)
    ]

    assert nameless == []


def test_bare_process_names_stay_free_for_user_code() -> None:
    """A model's own `runner.py` must win over ours (docs/adr/0001-packaging.md)."""
    program = (
        "from importlib.util import find_spec\n"
        "taken = [name for name in ('edge', 'runner', 'controller', 'common', 'shared', 'utils') if find_spec(name)]\n"
        "raise SystemExit(f'taken: {taken}' if taken else 0)"
    )

    done = subprocess.run([sys.executable, "-P", "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def machine_traces() -> re.Pattern[str]:
    """Matches what belongs to one machine or one network. Written so that this file does not match itself."""
    homes = [r"/wor[k]/", r"/roo[t]/", r"/home/[a-z]", r"/User[s]/"]
    registries = [r"pypi\.or[g]", r"pythonhosted\.or[g]", r"registry\.npmj[s]"]
    here = [re.escape(f"{ROOT}/")] if len(ROOT.parts) > 2 else []
    return re.compile("|".join(homes + registries + here))


def test_no_file_names_a_machine_or_a_registry() -> None:
    pattern = machine_traces()

    traces = [
        f"{name}:{number}: {match.group()}"
        for name in files()
        for number, line in enumerate(text(name).splitlines(), 1)
        if (match := pattern.search(line))
    ]

    assert traces == []


def anchors(markdown: str) -> set[str]:
    """Returns the anchors that headings get, by the rule of GitHub."""
    headings = re.findall(r"^#+ (.+?)\s*$", markdown, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", [name for name in files() if name.endswith(".md")])
def test_links_of_a_page_resolve(name: str) -> None:
    prose = re.sub(r"^```.*?^```", "", text(name), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        page = (ROOT / name).parent / path if path else ROOT / name
        assert page.exists(), f"{name} links to {target}"
        if anchor:
            assert anchor in anchors(page.read_text(encoding="utf-8")), f"{name} links to {target}"


def test_every_make_target_in_a_text_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), flags=re.MULTILINE))
    for name in files():
        if name.endswith(".md"):
            named = set(re.findall(r"(?:`|^\s*\$? ?)make ([a-z-]+)", text(name), flags=re.MULTILINE))
            assert named <= targets, f"{name} names {sorted(named - targets)}"


def test_every_decision_record_is_numbered_and_complete() -> None:
    records = sorted(Path(name).name for name in files() if name.startswith("docs/adr/") and name.endswith(".md"))

    assert [int(record[:4]) for record in records] == list(range(1, len(records) + 1))
    for record in records:
        headings = anchors(text(f"docs/adr/{record}"))
        assert {"context", "decision", "rejected", "consequences"} <= headings, record
