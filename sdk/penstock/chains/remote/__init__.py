"""Calls between chainlets."""
