"""Turns what an operator asks for into a deployment: checks the name, reads the Truss directory, hashes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from penstock.truss import ConfigError, PenstockSettings, load_config
from penstock_controller.errors import InvalidRequestError
from penstock_controller.identifiers import check_name, content_hash, deployment_id, model_name
from penstock_controller.records import Deployment, StreamLimits
from penstock_controller.scaling.config import settings_of
from penstock_controller.scaling.overrides import ScalingOverrides

REPLICAS_MAX = 1000
DEFAULT_ENVIRONMENT = "production"


@dataclass(frozen=True, slots=True)
class WantedDeployment:
    """What an operator asks for."""

    name: str
    """Empty leaves it to config.yaml."""
    source: str
    replicas: int | None
    """Exactly so many instead of scaling by load."""
    environment: str


def prepare_deployment(wanted: WantedDeployment, *, now_wall: float) -> Deployment:
    """Builds the deployment. Reads files; not for the event loop.

    Raises:
        InvalidRequestError: Something asked for is wrong, or the directory is no valid Truss.
    """
    source = Path(wanted.source)
    if not source.is_absolute():
        raise InvalidRequestError(f"source: must be an absolute path, got {wanted.source!r}")
    if not source.is_dir():
        raise InvalidRequestError(f"source: {source} is not a folder")
    if wanted.replicas is not None and wanted.replicas > REPLICAS_MAX:
        raise InvalidRequestError(f"replicas: must be 0 to {REPLICAS_MAX}, got {wanted.replicas}")
    environment = wanted.environment or DEFAULT_ENVIRONMENT
    check_name("environment", environment)
    try:
        config = load_config(source)
    except ConfigError as exc:
        raise InvalidRequestError(f"{source} cannot be deployed:\n{exc}") from exc
    name = wanted.name or model_name(config.model_name) or model_name(source.name)
    check_name("name", name)
    try:
        content = content_hash(source)
    except OSError as exc:
        raise InvalidRequestError(f"{exc.filename or source} cannot be read: {exc.strerror}") from exc
    return Deployment(
        deployment_id=deployment_id(name, content),
        name=name,
        source=str(source),
        scaling=settings_of(config.penstock),
        overrides=ScalingOverrides(replicas=wanted.replicas),
        limits=_limits(config.penstock),
        routes=config.penstock.routes,
        gpus=config.gpus,
        environment_variables=config.environment_variables,
        environments=(environment,),
        created_wall=now_wall,
    )


def _limits(settings: PenstockSettings) -> StreamLimits:
    return StreamLimits(
        message_bytes_max=settings.message_bytes_max,
        ping_interval_s=settings.ping_interval_s,
        ping_timeout_s=settings.ping_timeout_s,
        queue_timeout_s=settings.queue_timeout_s,
        queue_streams_max=settings.queue_streams_max,
        idle_timeout_s=settings.idle_timeout_s,
        stream_age_max_s=settings.stream_age_max_s,
        handshake_timeout_s=settings.handshake_timeout_s,
        compression=settings.compression,
    )
