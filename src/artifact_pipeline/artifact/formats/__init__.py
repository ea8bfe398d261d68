"""The forms in which a fitted estimator lies in an artifact, one file a form."""
