"""The config file: its schema, its checks, and its error messages."""
