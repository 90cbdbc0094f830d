"""Takes everything that Truss injects, and tells what it got."""

import os
from pathlib import Path


class Model:
    def __init__(self, **kwargs):
        self._given = kwargs
        self._downloaded = False
        self._environments = []

    def setup_environment(self, environment):
        self._environments.append(environment)

    def load(self):
        self._given["lazy_data_resolver"].block_until_download_complete()
        self._downloaded = True
        self._words = (self._given["data_dir"] / "words.txt").read_text().split()

    def predict(self, inputs):
        return {
            "names": sorted(self._given),
            "config": self._given["config"],
            "environment": self._given["environment"],
            "environments": self._environments,
            "data_dir": str(self._given["data_dir"]),
            "words": self._words,
            "downloaded": self._downloaded,
            "variables": {name: os.environ.get(name) for name in inputs.get("variables", [])},
            "in_its_own_folder": Path("config.yaml").exists(),
        }
