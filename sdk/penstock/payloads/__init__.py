"""Bodies of requests and results: JSON and msgpack as Truss writes them, for the runner and for chains."""
