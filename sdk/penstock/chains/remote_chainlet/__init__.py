"""Names under which Truss Chains has its parts for deployed chainlets."""
