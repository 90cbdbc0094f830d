"""The side of a chainlet that answers calls, inside a runner."""
