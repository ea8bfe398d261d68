"""Registries: the OCI distribution protocol, its credentials, and artifacts as ModelPacks."""
