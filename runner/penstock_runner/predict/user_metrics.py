"""The metrics that a model has made with prometheus_client (truss.md section 5): its default registry, and no more."""

from __future__ import annotations

import contextlib

from starlette.responses import Response


def user_metrics() -> Response:
    """Returns them as Prometheus reads them. The collectors that the library registers by itself are taken out."""
    # Imported late: a model that has no metrics need not pay for it.
    from prometheus_client import (
        CONTENT_TYPE_LATEST,
        GC_COLLECTOR,
        PLATFORM_COLLECTOR,
        PROCESS_COLLECTOR,
        REGISTRY,
        generate_latest,
    )

    for collector in (GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR):
        with contextlib.suppress(KeyError):  # it was taken out before
            REGISTRY.unregister(collector)
    return Response(generate_latest(REGISTRY), headers={"content-type": CONTENT_TYPE_LATEST})
