"""Data of a config as rows: bundled sets and tables, split, and checked for leaks."""
