"""The baselines by name."""

from __future__ import annotations

from collections.abc import Mapping

from penstock_controller.simulate.autoscaler import AutoscalerFactory
from penstock_controller.simulate.baselines.agones_buffer import AgonesBuffer
from penstock_controller.simulate.baselines.baseten_http import BasetenHttp
from penstock_controller.simulate.baselines.baseten_literal import BasetenLiteral
from penstock_controller.simulate.baselines.hpa import Hpa
from penstock_controller.simulate.baselines.kpa import Kpa
from penstock_controller.simulate.baselines.ray_serve import RayServe

BASELINES: Mapping[str, AutoscalerFactory] = {
    BasetenLiteral.name: BasetenLiteral,
    Kpa.name: Kpa,
    Hpa.name: Hpa,
    RayServe.name: RayServe,
    BasetenHttp.name: BasetenHttp,
    AgonesBuffer.name: AgonesBuffer,
}
"""In the order of tables."""
