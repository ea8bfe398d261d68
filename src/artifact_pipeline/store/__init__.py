"""Artifacts, run records and aliases, and what this machine remembers."""
