"""A call from chainlet to chainlet: rows, trials against httpx + FastAPI, and their section of RESULTS.md."""
