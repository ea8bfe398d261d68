"""The open forms of a model, and the proof that each gives the estimator's outputs."""
