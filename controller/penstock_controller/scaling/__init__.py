"""How many replicas a deployment should have, and which ones go: a pure function of what is asked for and observed."""
