"""Turns what an operator asks for into a deployment: checks the name, reads the Truss directory, hashes it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from penstock.preparation import needs_preparation
from penstock.truss import ConfigError, PenstockSettings, TrussConfig, load_config
from penstock_controller.errors import InvalidRequestError
from penstock_controller.identifiers import check_name, content_hash, deployment_id, model_name
from penstock_controller.records import Build, BuildState, ChainPlace, Deployment, StreamLimits
from penstock_controller.scaling.config import settings_of
from penstock_controller.scaling.overrides import ScalingOverrides

REPLICAS_MAX = 1000


@dataclass(frozen=True, slots=True)
class WantedDeployment:
    """What an operator asks for."""

    name: str
    """Empty leaves it to config.yaml."""
    source: str
    replicas: int | None
    """Exactly so many instead of scaling by load."""
    environment: str
    """Empty means none."""
    artifact: str = ""
    """Hash of what `source` holds, when that is an artifact."""


@dataclass(frozen=True, slots=True)
class ReadTruss:
    """A Truss directory that can be deployed."""

    config: TrussConfig
    content: str
    """Hash of all that is in it."""


def prepare_deployment(wanted: WantedDeployment, *, now_wall: float) -> Deployment:
    """Builds the deployment of a model. Reads files; not for the event loop.

    Raises:
        InvalidRequestError: Something asked for is wrong, or the directory is no valid Truss.
    """
    truss = read_truss(wanted)
    name = _name(wanted, truss.config)
    return deployment_of(wanted, truss, name=name, id_=deployment_id(name, truss.content), now_wall=now_wall)


def read_truss(wanted: WantedDeployment) -> ReadTruss:
    """Checks what is asked for, and reads the directory. Not for the event loop.

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
    if wanted.environment:
        check_name("environment", wanted.environment)
    try:
        config = load_config(source)
    except ConfigError as exc:
        raise InvalidRequestError(f"{source} cannot be deployed:\n{exc}") from exc
    try:
        content = wanted.artifact or content_hash(source)
    except OSError as exc:
        raise InvalidRequestError(f"{exc.filename or source} cannot be read: {exc.strerror}") from exc
    return ReadTruss(config, content)


def deployment_of(
    wanted: WantedDeployment,
    truss: ReadTruss,
    *,
    name: str,
    id_: str,
    now_wall: float,
    chain: ChainPlace | None = None,
) -> Deployment:
    """Puts together what is asked for and what was read."""
    config = truss.config
    return Deployment(
        deployment_id=id_,
        name=name,
        source=str(Path(wanted.source)),
        scaling=settings_of(config.penstock),
        overrides=ScalingOverrides(replicas=wanted.replicas),
        limits=_limits(config.penstock),
        routes=config.penstock.routes,
        gpus=config.gpus,
        environment_variables=config.environment_variables,
        environments=(wanted.environment,) if wanted.environment else (),
        created_wall=now_wall,
        artifact=wanted.artifact,
        build=Build(BuildState.WAITING) if needs_preparation(config) else Build(),
        chain=chain,
    )


def renewed(wanted: Deployment, known: Deployment | None) -> Deployment:
    """Returns what a deployment becomes that is asked for again: what was made of its content before stays.

    A build that has failed is tried again, and so is one whose interpreter is gone.
    """
    if known is None:
        return wanted
    build = wanted.build
    is_usable = not known.build.python or Path(known.build.python).exists()
    if build.state is BuildState.WAITING and known.build.state is not BuildState.FAILED and is_usable:
        build = known.build if known.build.state is not BuildState.NONE else build
    return replace(wanted, build=build, ready_wall=known.ready_wall)


def _name(wanted: WantedDeployment, config: TrussConfig) -> str:
    if wanted.artifact and not wanted.name and not config.raw.get("model_name"):
        # The name of the folder is a hash here.
        raise InvalidRequestError("name: config.yaml has no model_name; give a name")
    name = wanted.name or model_name(config.model_name) or model_name(Path(wanted.source).name)
    check_name("name", name)
    return name


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
        predict_timeout_s=settings.predict_timeout_s,
        async_predict_timeout_s=settings.async_predict_timeout_s,
    )
