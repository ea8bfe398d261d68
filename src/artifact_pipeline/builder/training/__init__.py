"""The trainer process: the parent's and the child's end, their protocol, and the training."""
