"""Metrics and what is observed on the held-out rows."""
