"""`penstock init`: makes a model that runs as it is."""
