"""truss.md section 2.8: new code in a running model, with what it has loaded kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import grpc

from penstock.api.control.v1 import admin_pb2, admin_pb2_grpc
from penstock_testing.bare_platform import BarePlatform, bare_platform
from penstock_testing.static_platform import wait_until
from penstock_testing.truss_conformance import ANSWER_SECONDS, ModelDoor


def reload(platform: BarePlatform, deployment: str) -> admin_pb2.ReloadedReplica:
    """Has the only replica of a deployment take its code anew."""
    with grpc.insecure_channel(platform.address) as channel:
        answer = admin_pb2_grpc.AdminServiceStub(channel).ReloadDeployment(
            admin_pb2.ReloadDeploymentRequest(deployment=deployment), timeout=ANSWER_SECONDS
        )
    (replica,) = answer.replicas
    return replica


def test_new_code_serves_what_was_loaded_and_wrong_code_changes_nothing(
    copied_model: Callable[[str], Path], tmp_path: Path
) -> None:
    source = copied_model("hot_reload")
    with bare_platform(tmp_path) as platform:
        model = ModelDoor(platform.start_edge().removeprefix("ws://"), "hot-reload")
        deployment = platform.apply(source)
        wait_until(lambda: model.call(None).status == 200, ANSWER_SECONDS, "the model answers")
        assert model.predict(None) == {"word": "first", "loads": 1}

        (source / "model" / "wording.py").write_text('WORD = "second"\n')
        assert reload(platform, deployment).reloaded
        assert model.predict(None) == {"word": "second", "loads": 1}

        (source / "model" / "wording.py").write_text('WORD = "third\n')
        refused = reload(platform, deployment)
        assert (refused.reloaded, refused.needs_restart) == (False, False)
        assert "SyntaxError: " in refused.message and "wording.py" in refused.message
        assert model.predict(None) == {"word": "second", "loads": 1}
