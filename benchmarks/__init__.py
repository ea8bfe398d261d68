"""Benchmarks that measure ratios of speeds, side by side in one run: `python -m benchmarks`."""
