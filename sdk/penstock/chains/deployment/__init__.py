"""Names under which Truss Chains has its parts for pushing chains."""
