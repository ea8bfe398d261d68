"""Predict the held-out rows with the model that `python src/train.py` wrote, or an artifact.

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
from artifact_pipeline.cli.layout import table

__all__ = ["main"]

SAMPLES = 10


def main(model: str | None = None, digest: str | None = None, data: str | None = None) -> None:
    """Print the accuracy on the held-out rows, and the first predictions beside the truth.

    Args:
        model: The folder of a sealed artifact, which is verified before anything in it is opened.
            By default the model is model_train.pkl.
        digest: The digest that the model must have.
        data: Path of the artifact's table; by default the one in the run record beside the
            artifact. Its rows must have the digest in the recipe.
    """
    if model is None:
        estimator = load_model("model_train.pkl", digest)
        _, X_test, _, y_test = load_data(load_config("config/config.json"))
        predicted = estimator.predict(X_test).tolist()
        show(y_test.tolist(), predicted, numbers=not hasattr(estimator, "classes_"))
    else:
        store = Path(model).absolute().parent
        result = infer(Path(model), digest=digest, data=data, store=store)
        print(f"verified {result.digest}")
        predicted = result.labels or result.predictions or []
        show(result.truth or [], predicted, numbers=result.labels is None)


def show(truth: list[Any], predicted: list[Any], *, numbers: bool = False) -> None:
    pairs = list(zip(truth, predicted, strict=True))
    if numbers:
        error = sum(abs(a - b) for a, b in pairs) / len(pairs)
        print(f"mean absolute error on the {len(pairs)} held-out rows: {error:.4f}\n")
    else:
        correct = sum(a == b for a, b in pairs)
        print(f"accuracy on the {len(pairs)} held-out rows: {correct / len(pairs):.4f}\n")
    rows = [("true", "predicted", "")]
    for a, b in pairs[:SAMPLES]:
        if numbers:
            rows.append((f"{a:,.4f}", f"{b:,.4f}", ""))
        else:
            rows.append((write_out(str(a)), write_out(str(b)), "" if a == b else "wrong"))
    print(table([row[:2] for row in rows], numbers=2) if numbers else table(rows))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Predict the held-out rows.")
    parser.add_argument("--model", metavar="FOLDER", help="folder of a sealed artifact")
    parser.add_argument("--digest", metavar="sha256:…", help="digest that the model must have")
    parser.add_argument("--data", metavar="TABLE", help="path of its table")
    with exit_on_error():
        main(**vars(parser.parse_args()))
