"""Metrics, and the evaluation on the held-out rows."""
