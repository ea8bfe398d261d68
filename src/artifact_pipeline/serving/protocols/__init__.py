"""The Open Inference Protocol and plain rows."""
