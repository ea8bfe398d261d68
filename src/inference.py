"""Predict with the model that `python src/train.py` left here: `python src/inference.py`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from artifact_pipeline import evaluate_model, load_config, load_data, load_model
from artifact_pipeline.cli import exit_on_error

__all__ = ["main"]

SAMPLES = 10


def main() -> None:
    """Print the model's accuracy on the held-out rows, and some predictions beside the truth."""
    model = load_model("model_train.pkl")
    _, X_test, _, y_test = load_data(load_config("config/config.json"))
    accuracy = evaluate_model(model, X_test, y_test)["accuracy"]
    print(f"accuracy on the {len(y_test)} held-out rows: {accuracy:.4f}\n")
    print("  true    predicted")
    for truth, label in zip(y_test[:SAMPLES], model.predict(X_test[:SAMPLES]), strict=True):
        print(f"  {truth!s:<7} {label!s:<9} {'' if truth == label else 'wrong'}".rstrip())


if __name__ == "__main__":
    with exit_on_error():
        main()
