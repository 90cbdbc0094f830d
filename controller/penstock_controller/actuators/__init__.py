"""Engines on which replicas run."""
