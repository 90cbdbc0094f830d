from __future__ import annotations

import pytest

from penstock.cli.up.watched_change import SETTLED_S, UNSETTLED_MAX_S, Effect, Layout, Settling, named
from penstock.truss import parse_config

LAYOUT = Layout.of(
    parse_config(b"requirements: [numpy, '-r more.txt', '-c pins/all.txt']\n", name_default="m"), ["/lib"]
)


@pytest.mark.parametrize(
    ("path", "effect"),
    [
        ("model/model.py", Effect.RELOAD),
        ("model/prompts/a.txt", Effect.RELOAD),
        ("packages/x.py", Effect.RELOAD),
        ("/lib/x.py", Effect.RELOAD),
        ("config.yaml", Effect.REDEPLOY),
        ("more.txt", Effect.REDEPLOY),
        ("pins/all.txt", Effect.REDEPLOY),
        ("README.md", Effect.NOTHING),
        ("data/x", Effect.NOTHING),
        ("models/model.py", Effect.NOTHING),
    ],
)
def test_each_path_has_its_effect(path: str, effect: Effect) -> None:
    assert LAYOUT.effect([path]) is effect


def test_the_largest_effect_counts() -> None:
    assert LAYOUT.effect(["README.md", "config.yaml", "model/model.py"]) is Effect.REDEPLOY
    assert LAYOUT.effect([]) is Effect.NOTHING


def test_other_names_of_folders_are_known() -> None:
    config = parse_config(b"model_module_dir: src\nrequirements_file: ./req/all.txt\n", name_default="m")
    layout = Layout.of(config)
    assert layout.effect(["src/a.py"]) is Effect.RELOAD
    assert layout.effect(["model/a.py"]) is Effect.NOTHING
    assert layout.effect(["req/all.txt"]) is Effect.REDEPLOY


def test_a_save_is_taken_when_it_has_settled() -> None:
    settling = Settling()
    assert settling.take(0.0) == frozenset()
    settling.add({"a"}, 0.0)
    settling.add({"b"}, SETTLED_S * 0.9)
    assert settling.take(SETTLED_S * 1.1) == frozenset()
    assert settling.take(SETTLED_S * 2) == {"a", "b"}
    assert settling.take(9.0) == frozenset()


def test_changes_without_end_are_taken_all_the_same() -> None:
    settling = Settling()
    now = 0.0
    while not (taken := settling.take(now)):
        settling.add({"a"}, now)
        now += SETTLED_S / 2
        assert now < UNSETTLED_MAX_S * 2
    assert taken == {"a"}


def test_files_are_named_shortly() -> None:
    assert named({"b", "a"}) == "a, b"
    assert named({"a", "b", "c", "d"}) == "a, b and 2 more"
