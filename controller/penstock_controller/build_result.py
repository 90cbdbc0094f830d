"""What the end of a build means: its exit, the result that it has written, and the end of its output. Pure."""

from __future__ import annotations

import json

from penstock_controller.actuators.base import ReplicaExit
from penstock_controller.actuators.builds import BuildEnd
from penstock_controller.exits import describe


def judge_build(deployment_id: str, *, status: int | None, result: str | None, output_tail: str) -> BuildEnd:
    """Tells how a build ended.

    Args:
        deployment_id: Whose.
        status: Exit status, negative for a signal; None when nobody knows it.
        result: Content of its result file; None when there is none.
        output_tail: The last lines of its output.
    """
    content = _read(result)
    if isinstance(error := content.get("error"), str) and error:
        return BuildEnd(deployment_id, error=error)
    python, problems = content.get("python"), content.get("problems")
    if isinstance(python, str) and status in (0, None):
        told = problems if isinstance(problems, list) else []
        return BuildEnd(deployment_id, python=python, problems=tuple(str(problem) for problem in told))
    if status is None:
        return BuildEnd(deployment_id, was_cut=True)
    text = f"the build: {describe(ReplicaExit('', status))}"
    if output_tail.strip():
        text += f"; the end of its output:\n{output_tail}"
    return BuildEnd(deployment_id, error=text)


def _read(result: str | None) -> dict[str, object]:
    try:
        content = json.loads(result or "")
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
