"""Inference: predictions of a verified artifact for rows."""
