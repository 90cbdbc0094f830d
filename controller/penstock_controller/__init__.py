"""The control plane of Penstock: which replicas there are, where streams may go, and how many replicas run."""
