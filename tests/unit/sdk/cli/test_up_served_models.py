from __future__ import annotations

from pathlib import Path

from penstock.cli.up.observation import Deployment, Observation, Phase, Replica
from penstock.cli.up.options import ModelSource
from penstock.cli.up.readiness import Wanted
from penstock.cli.up.served_models import served_model

WANTED = Wanted("m", "m-1", 2)


def test_what_replicas_say_is_told(tmp_path: Path) -> None:
    observation = Observation(
        1,
        1,
        (Deployment("m", "m-1", ready=3, endpoints=("predict",)),),
        (Replica("r1", "m-1", Phase.STARTING, message="no"), Replica("r2", "m-1", Phase.READY, message="hm")),
    )
    found = served_model(observation, WANTED, ModelSource("m", tmp_path, "[1]"))
    assert (found.replicas, found.note, found.endpoints, found.example) == (3, "hm", ("predict",), "[1]")


def test_what_no_replica_has_told_is_read_from_the_code(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "config.yaml").write_text("")
    (tmp_path / "model" / "model.py").write_text("class Model:\n    def predict(self, x): ...\n")
    found = served_model(Observation(1, 1), WANTED, ModelSource("m", tmp_path))
    assert (found.replicas, found.endpoints) == (2, ("predict",))
