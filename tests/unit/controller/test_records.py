from __future__ import annotations

from dataclasses import replace

from penstock_testing.controller_parts import WALL, deployment


def test_deployment_is_superseded_since_an_environment_left_it() -> None:
    current = deployment()
    assert not current.superseded
    assert replace(current, superseded_wall=WALL).superseded
