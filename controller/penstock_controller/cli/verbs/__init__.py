"""The commands of `controller`, one module each (or one per family).

Each module has `add_parsers(commands)`, which adds its commands and sets `run` as their default: a function of the
parsed arguments and the environment that returns the exit status.
"""
