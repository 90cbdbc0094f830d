"""Keys of config.yaml that mean something at Baseten or in older Truss versions, and nothing here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from penstock.truss.section import Section


@dataclass(frozen=True, slots=True)
class UnusedKey:
    """One key that is accepted without effect."""

    key: str
    """Dotted path."""
    reason: str
    """Why it has no effect, or what to do instead; follows "not used: "."""
    neutral: tuple[Any, ...] = ()
    """Values that ask for nothing and get no warning; nor do null, the empty text, list and mapping."""


UNUSED_KEYS = (
    UnusedKey("apply_library_patches", "no library is patched here", (True,)),
    UnusedKey("bis_llm", "Penstock builds no engines; the deployment needs a model class of its own"),
    UnusedKey("build.arguments", "Penstock builds no engines; the deployment needs a model class of its own"),
    UnusedKey("build.model_server", "the model class is always served by Penstock", ("TrussServer",)),
    UnusedKey("build.no_cache", "no image is built", (False,)),
    UnusedKey("build.secret_to_path_mapping", "no image is built; the model reads its secrets when it runs"),
    UnusedKey("cache_internal", "list files of models under `weights`"),
    UnusedKey("input_type", "a model gets the input as it was sent", ("Any",)),
    UnusedKey("live_reload", "`penstock up --watch` takes changes over", (False,)),
    UnusedKey("model_framework", "the model class decides", ("custom",)),
    UnusedKey("model_type", "the model class decides", ("Model", "custom")),
    UnusedKey("resources.fabric", "a replica runs on one machine"),
    UnusedKey("resources.instance_type", "replicas start on the machines that Penstock has"),
    UnusedKey("runtime.egress_restrictions", "a model reaches what its machine reaches; restrict that with a firewall"),
    UnusedKey("runtime.oidc", "there is no OIDC here", ({"enabled": False},)),
    UnusedKey("runtime.remote_ssh", "there is no container; use ssh to the machine", ({"enabled": False},)),
    UnusedKey("runtime.truss_server_version_override", "Penstock serves the model itself"),
    UnusedKey("spec_version", "every version is read in the same way", ("2.0",)),
    UnusedKey("training_checkpoints", "checkpoints of Baseten's training are not reachable; use `weights`"),
    UnusedKey("trt_llm", "Penstock builds no engines; the deployment needs a model class of its own"),
    UnusedKey("use_local_src", "Penstock serves the model itself", (False,)),
)
"""Whatever stands below these keys is accepted, too."""


def warn_unused(section: Section, path: str) -> None:
    """Warns of each unused key of `section`, whose dotted path is `path`, that asks for something."""
    for unused in UNUSED_KEYS:
        parent, _, key = unused.key.rpartition(".")
        if parent != path:
            continue
        value = section.value(key)
        # YAML reads 2.0 without quotes as a number.
        plain = str(value) if isinstance(value, float) else value
        if plain not in (None, "", [], {}, *unused.neutral):
            section.warn(key, f"not used: {unused.reason}")
