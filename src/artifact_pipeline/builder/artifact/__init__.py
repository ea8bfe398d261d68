"""What is written into an artifact: manifest, evaluation, model card."""
