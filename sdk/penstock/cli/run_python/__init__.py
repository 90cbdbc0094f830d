"""`penstock run-python`: runs a script in the environment of a model."""
