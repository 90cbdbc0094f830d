"""`controller explain` for people."""

from __future__ import annotations

from penstock.api.control.v1 import admin_pb2
from penstock_controller.cli.quantities import age, wall_seconds
from penstock_controller.cli.render.chains import place_of
from penstock_controller.cli.render.documents import autoscaling_document
from penstock_controller.cli.render.grid import Cell, Column, Grid, grid, left_out_note
from penstock_controller.cli.render.replicas import replica_table
from penstock_controller.cli.render.status import condition_cell, streams, streams_on_draining, waiting
from penstock_controller.cli.render.style import Style
from penstock_controller.cli.render.wording import decision_change, headline, one_line, printable, seconds_in

_OF_METRIC = {
    "streams": {"autoscaling_window", "target_utilization_percentage", "max_scale_down_rate"},
    "requests": {"scale_down_interval", "buffer_slots"},
}
"""Settings that a metric does not use."""

_SECONDS = frozenset({"scale_down_delay", "scale_down_interval", "autoscaling_window"})
_PERCENT = frozenset({"target_utilization_percentage", "max_scale_down_rate"})


def render_explanation(answer: admin_pb2.ExplainDeploymentResponse, *, now_wall: float, style: Style) -> str:
    """Returns everything that a deployment's number of replicas rests on, with a newline at the end."""
    inputs = [(printable(value.name), f"{value.value:g}") for value in answer.now.inputs]
    grids = [
        grid((Column("INPUT"), Column("VALUE")), inputs, style) if inputs else Grid(""),
        _settings(answer.deployment, style),
        replica_table(answer.replicas, now_wall, style),
        _history(answer, now_wall, style),
    ]
    parts = [_summary(answer, now_wall, style), *(each.text for each in grids), *left_out_note(grids, style)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _summary(answer: admin_pb2.ExplainDeploymentResponse, now_wall: float, style: Style) -> str:
    d = answer.deployment
    condition = condition_cell(d, now_wall)
    environments = f" ({printable(', '.join(d.environments))})" if d.environments else ""
    next_look = seconds_in(answer, "next_look")
    leaving = streams_on_draining(answer.replicas)[d.deployment_id]
    facts = [
        ("Deployment", printable(d.deployment_id) + environments),
        *([("Chainlet", place_of(d))] if d.HasField("chain") else []),
        ("Condition", style.paint(condition.text, condition.tone)),
        (
            "Replicas",
            f"{d.target_replicas} wanted ({d.min_replicas} to {d.max_replicas} allowed), {d.ready_replicas} ready, "
            f"{d.starting_replicas} starting, {d.draining_replicas} draining, {d.failed_replicas} failed",
        ),
        (
            "Streams",
            f"{streams(d, leaving).text}, waiting {waiting(d).text}, refused {d.refused_total}",
        ),
    ]
    if answer.HasField("now"):
        looked = age(now_wall - wall_seconds(answer.now.at))
        facts.append(("Rule", f"{answer.now.rule}: {printable(answer.now.reason)} (looked {looked} ago)"))
    else:
        facts.append(("Rule", "not looked at yet"))
    facts.append(("Blocked", printable(d.blocked) or "nothing"))
    facts.append(("Next look", "on a change" if next_look is None else f"on a change, or in {age(next_look)}"))
    if d.message:
        facts.append(("Message", one_line(headline(d), style)))
    return "\n".join(f"{name + ':':<13}{text}" for name, text in facts)


def _settings(d: admin_pb2.DeploymentStatus, style: Style) -> Grid:
    def remark(name: str) -> str:
        if name in _OF_METRIC.get(d.autoscaling.metric, ()):
            return f"not used with metric {printable(d.autoscaling.metric)}"
        if d.HasField("manual_replicas") and name in {"min_replica", "max_replica"}:
            return f"not used: an operator fixed the number at {d.manual_replicas}"
        in_force = {"min_replica": d.min_replicas, "max_replica": d.max_replicas}.get(name, value_of[name])
        if in_force != value_of[name]:
            return f"{in_force} now{', as it is superseded' if d.superseded else ''}"
        return "changed by an operator" if name in d.autoscaling.overridden else "-"

    value_of = autoscaling_document(d.autoscaling)
    rows = [(name, _value(name, value), remark(name)) for name, value in value_of.items()]
    return grid((Column("SETTING"), Column("VALUE"), Column("REMARK", least=12)), rows, style)


def _value(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    unit = " s" if name in _SECONDS else " %" if name in _PERCENT else ""
    return f"{value:g}{unit}" if isinstance(value, float) else printable(str(value)) or "-"


def _history(answer: admin_pb2.ExplainDeploymentResponse, now_wall: float, style: Style) -> Grid:
    if not answer.history:
        return Grid("The number of replicas has not changed yet.")
    rows = [
        (
            Cell(decision_change(decision, now_wall, style), key=wall_seconds(decision.at)),
            printable(decision.rule),
            printable(decision.reason),
        )
        for decision in answer.history
    ]
    return grid((Column("CHANGE"), Column("RULE"), Column("REASON", least=20)), rows, style)
