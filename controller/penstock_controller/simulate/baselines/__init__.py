"""Autoscalers of other systems under the same load, to be held against ours.

Each follows what is documented or was read of its system (facts: control_plane.md sections 1.1 to 1.8). Where that
leaves something open, the choice favours the other system, and its module says so.
"""
