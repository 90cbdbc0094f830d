"""Names that are part of the rules for chainlet classes, of requests and of generated files."""

from __future__ import annotations

SELF_ARGUMENT = "self"
CONTEXT_ARGUMENT = "context"
RUN_REMOTE_METHOD = "run_remote"
MODEL_METHOD = "predict"
HEALTH_CHECK_METHOD = "is_healthy"
REMOTE_CONFIG_VARIABLE = "remote_config"
ENGINE_BUILDER_CONFIG_VARIABLE = "engine_builder_config"
CHAIN_API_KEY_SECRET = "baseten_chain_api_key"
"""Secret that opens calls to other deployments."""
METADATA_KEY = "chains_metadata"
"""Key below `model_metadata` in a generated config.yaml."""
