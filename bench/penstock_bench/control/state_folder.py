"""A state folder as a controller leaves it that has started a whole fleet: the next one takes the fleet over.

So the runners that are simulated have their places, and the policy sees them, without an option for benchmarks in
`controller serve`.
"""

from __future__ import annotations

from pathlib import Path

from penstock.state_dir import prepare_state_dir
from penstock_bench.control import fleet as fleets
from penstock_controller.fleet import Place
from penstock_controller.records import Deployment
from penstock_controller.restarts import PlaceState, Restarts
from penstock_controller.scaling.config import ScalingSettings
from penstock_controller.serving import DATABASE_FILE
from penstock_controller.store import Store


def deployment(replicas: int, source: Path) -> Deployment:
    """A deployment that is scaled by its streams, and has as many replicas as it may and must have."""
    return Deployment(
        deployment_id=fleets.DEPLOYMENT,
        name="fleet",
        source=str(source),
        scaling=ScalingSettings(min_replica=replicas, max_replica=replicas, max_concurrency=fleets.CAPACITY),
        environments=("production",),
        created_wall=1.0,
    )


def places(replicas: int) -> list[Place]:
    return [
        Place(fleets.DEPLOYMENT, number, fleets.replica_id(number), Restarts(PlaceState.OCCUPIED, starts=1))
        for number in range(replicas)
    ]


def write_state(folder: Path, replicas: int) -> None:
    """Fills the database of `folder`. The source of the deployment does not exist: nothing can ever be started."""
    folder = prepare_state_dir(folder)
    wanted = deployment(replicas, folder / "no-such-model")
    store = Store(folder / DATABASE_FILE)
    try:
        with store.transaction():
            store.put_deployment(wanted)
            store.put_target(wanted.deployment_id, replicas)
            for environment in wanted.environments:
                store.point_environment(wanted.name, environment, wanted.deployment_id, now_wall=1.0)
        store.put_places(wanted.deployment_id, places(replicas))
    finally:
        store.close()
