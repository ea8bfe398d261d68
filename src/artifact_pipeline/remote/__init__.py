"""Remotes: folders, buckets and registries that artifacts are pushed to and pulled from."""
