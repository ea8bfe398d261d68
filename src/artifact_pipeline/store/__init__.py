"""Artifacts, run records and aliases, and the state of this machine."""
