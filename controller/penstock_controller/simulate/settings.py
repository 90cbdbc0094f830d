"""What is simulated, beside the workload and the autoscaler."""

from __future__ import annotations

from dataclasses import dataclass

from penstock_controller.scaling.config import ScalingSettings
from penstock_controller.simulate.distributions import Distribution

COLD_START = Distribution("const", (60.0,))
"""Time to load a model, where nothing else is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationSettings:
    """One deployment, its edges and the delays between the parts. Times in seconds, delays one way."""

    scaling: ScalingSettings
    seed: int = 0
    edges: int = 2
    """Edge processes, 1 to 100; each stream comes to a random one."""
    queue_timeout_s: float = 30.0
    queue_streams_max: int = 128
    """Streams that may wait at one edge."""
    cold_start: Distribution = COLD_START
    """From the start of a replica until it is ready."""
    failure_rate: float = 0.0
    """Share of the starts that fail at the end of the cold start, 0 to 1."""
    network_delay_s: float = 0.001
    """Between an edge and a replica."""
    report_delay_s: float = 0.005
    """From a replica to the controller, and for commands the other way."""
    snapshot_delay_s: float = 0.005
    """From the controller to an edge, and for the demand the other way."""
    reconnect: bool = True
    """Whether a client whose stream was cut comes back at once for the rest of it."""
    flap_s: float = 300.0
    """A rise of the target within this time after a fall counts as a flap."""
