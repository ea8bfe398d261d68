"""The config file: its schema, its checks, and the words for what is wrong with it."""
