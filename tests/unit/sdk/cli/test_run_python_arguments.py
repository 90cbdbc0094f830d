from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

Parse = Callable[..., argparse.Namespace]


def test_everything_behind_the_script_belongs_to_it(parse: Parse) -> None:
    arguments = parse("run-python", "--dir", "m", "s.py", "--wait", "--state-dir", "x", "-h")
    assert arguments.dir == Path("m")
    assert arguments.script == ["s.py", "--wait", "--state-dir", "x", "-h"]
    assert arguments.state_dir is None
