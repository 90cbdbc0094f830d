"""The user's model: finding it, loading it, checking it."""
