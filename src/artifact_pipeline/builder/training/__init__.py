"""The trainer process: both of its ends, the protocol between them, and what it runs."""
