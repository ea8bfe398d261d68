"""The content of an artifact: manifest, evaluation, model card."""
