"""Artifacts in the formats of other tools."""
