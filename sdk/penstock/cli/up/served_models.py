"""What is said of a model when it is ready."""

from __future__ import annotations

from penstock.cli.call.source_kind import endpoints_of_source
from penstock.cli.up.observation import Observation, Phase
from penstock.cli.up.options import ModelSource
from penstock.cli.up.readiness import Wanted
from penstock.cli.up.report import ServedModel


def served_model(observation: Observation, wanted: Wanted, model: ModelSource) -> ServedModel:
    """Returns it; the methods of a model that no replica has told are read from its code."""
    deployment = observation.deployment(wanted.deployment_id)
    messages = (item.message for item in observation.replicas_of(wanted.deployment_id) if item.phase is Phase.READY)
    return ServedModel(
        wanted.name,
        wanted.deployment_id,
        deployment.ready if deployment is not None else wanted.replicas,
        # All replicas of a deployment run the same model; the first says it for all.
        note=next((message for message in messages if message), ""),
        endpoints=(deployment.endpoints if deployment is not None else ()) or endpoints_of_source(model.directory),
        example=model.example,
    )
