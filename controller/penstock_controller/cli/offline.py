"""What can be told when the controller cannot be reached: which runners of its state folder still serve."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from penstock_controller.actuators.process_table import RunRecord, live_records


def still_serving(state_dir: Path) -> list[RunRecord]:
    """Returns the runners whose processes live, by replica id."""
    return sorted(live_records(state_dir / "run"), key=lambda record: record.replica_id)


def render_offline(records: Sequence[RunRecord], state_dir: Path) -> str:
    """Says what goes on without the controller."""
    if not records:
        return f"No runner of {state_dir} is alive."
    noun = "runner is" if len(records) == 1 else "runners are"
    lines = [f"{len(records)} {noun} alive and go on serving their streams:"]
    lines += [
        f"  {record.replica_id}  pid {record.process.pid}  {record.address or 'does not listen yet'}"
        for record in records
    ]
    lines.append(f"Start the controller again with: controller serve --state-dir {state_dir}")
    return "\n".join(lines)
