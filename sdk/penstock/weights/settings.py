"""Settings of fetching, from the environment of the process."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from penstock.weights.errors import WeightsError

CACHE_BYTES_VARIABLE = "PENSTOCK_WEIGHTS_CACHE_BYTES"
HUB_ENDPOINT = "https://huggingface.co"
PARALLEL_FILES = 8
"""Files that are fetched at one moment, over all sources."""
FACTORS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchSettings:
    """What the machine says about fetching."""

    cache_bytes: int | None = None
    """Bound of the weights cache; None for its own default."""
    hub_endpoint: str = HUB_ENDPOINT
    """Without a slash at the end."""
    hub_token: str | None = None
    """Opens the Hub where a deployment brings no secret of its own."""
    hub_cache: Path = Path("~/.cache/huggingface/hub")
    """Where huggingface_hub looks for files."""
    parallel_files: int = PARALLEL_FILES


def read_fetch_settings(env: Mapping[str, str], deployment_env: Mapping[str, str]) -> FetchSettings:
    """Reads PENSTOCK_WEIGHTS_CACHE_BYTES, HF_ENDPOINT, HF_TOKEN, HF_HUB_CACHE and HF_HOME.

    Args:
        env: The environment of this process.
        deployment_env: `environment_variables` of config.yaml, which the model will see; they go before for HF_*.

    Raises:
        WeightsError: a value is not valid; names the variable.
    """
    hub = {**env, **deployment_env}
    endpoint = (hub.get("HF_ENDPOINT") or HUB_ENDPOINT).rstrip("/")
    if not re.match(r"https?://[^/\s]+", endpoint):
        raise WeightsError("", f"HF_ENDPOINT must be an http or https URL, got {endpoint!r}")
    return FetchSettings(
        cache_bytes=_cache_bytes(env.get(CACHE_BYTES_VARIABLE, "")),
        hub_endpoint=endpoint,
        hub_token=hub.get("HF_TOKEN") or None,
        hub_cache=_hub_cache(hub),
    )


def _cache_bytes(text: str) -> int | None:
    if not text.strip():
        return None
    found = re.fullmatch(r"([0-9]{1,18}(?:\.[0-9]{1,6})?)\s*([kmgt]i?|)b?", text.strip().lower())
    value = int(float(found[1]) * FACTORS[found[2]]) if found else 0
    if value <= 0:
        raise WeightsError("", f"{CACHE_BYTES_VARIABLE} must be a number of bytes such as 500GiB, got {text!r}")
    return value


def _hub_cache(env: Mapping[str, str]) -> Path:
    """By the rules of huggingface_hub."""
    if cache := env.get("HF_HUB_CACHE") or env.get("HUGGINGFACE_HUB_CACHE"):
        return Path(os.path.expandvars(cache)).expanduser()
    if home := env.get("HF_HOME"):
        return Path(os.path.expandvars(home)).expanduser() / "hub"
    base = Path(env.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return base / "huggingface" / "hub"
