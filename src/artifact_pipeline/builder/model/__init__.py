"""Estimators built from a config, searched and fitted."""
