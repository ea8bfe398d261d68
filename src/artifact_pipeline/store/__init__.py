"""Artifacts, run records and aliases, and the memory of this machine."""
