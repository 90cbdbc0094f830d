"""Chains: deployments, one per chainlet, that are created, promoted and removed as a whole."""
