"""Answers requests as a Truss server does: bodies, the steps of a model, streams, errors (truss.md section 2)."""
