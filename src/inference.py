"""Predict with the model that `python src/train.py` left here, or with a sealed artifact.

python src/inference.py
python src/inference.py --model FOLDER --digest sha256:… [--data TABLE]
"""

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from artifact_pipeline import infer, load_config, load_data, load_model
from artifact_pipeline.builder.escapes import write_out
from artifact_pipeline.cli import exit_on_error

__all__ = ["main"]

SAMPLES = 10


def main(model: str | None = None, digest: str | None = None, data: str | None = None) -> None:
    """Print the model's accuracy on the held-out rows, and some predictions beside the truth.

    Without arguments the model is model_train.pkl; `model` is the folder of a sealed artifact,
    which is verified, against `digest` too, before anything in it is opened. The held-out rows of
    a table are read from `data`, by default from where the run record beside the artifact found
    them; either way they must have the digest that the recipe names.
    """
    if model is None:
        estimator = load_model("model_train.pkl", digest)
        _, X_test, _, y_test = load_data(load_config("config/config.json"))
        show(
            y_test.tolist(), estimator.predict(X_test).tolist(), not hasattr(estimator, "classes_")
        )
    else:
        store = Path(model).absolute().parent
        found = infer(Path(model), digest=digest, data=data, store=store)
        print(f"verified {found.digest}")
        show(found.truth or [], found.labels or found.predictions or [], found.labels is None)


def show(truth: list[Any], predicted: list[Any], numbers: bool = False) -> None:
    pairs = list(zip(truth, predicted, strict=True))
    if numbers:
        error = sum(abs(a - b) for a, b in pairs) / len(pairs)
        print(f"mean absolute error on the {len(pairs)} held-out rows: {error:.4f}\n")
    else:
        right = sum(a == b for a, b in pairs)
        print(f"accuracy on the {len(pairs)} held-out rows: {right / len(pairs):.4f}\n")
    print("  true    predicted")
    for a, b in pairs[:SAMPLES]:
        said = f"{b:.4f}" if numbers else f"{write_out(str(b)):<9} {'' if a == b else 'wrong'}"
        print(f"  {write_out(str(a)):<7} {said}".rstrip())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Predict the held-out rows.")
    parser.add_argument("--model", metavar="FOLDER", help="a sealed artifact")
    parser.add_argument("--digest", metavar="sha256:…", help="what the model must be")
    parser.add_argument("--data", metavar="TABLE", help="the table that it was trained on")
    with exit_on_error():
        main(**vars(parser.parse_args()))
