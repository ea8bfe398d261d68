"""Rows in, predictions out, from a verified artifact."""
