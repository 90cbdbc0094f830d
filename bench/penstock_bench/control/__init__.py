"""The controller under the load of fleets that no single machine runs: simulated runners and edges on real calls."""
