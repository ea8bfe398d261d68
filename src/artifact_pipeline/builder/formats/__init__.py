"""The forms a model is sealed in, and the proof that each answers as the estimator does."""
