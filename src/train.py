"""Train the model of config/config.json: `python src/train.py`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import artifact_pipeline
from artifact_pipeline import evaluate_model, load_config, load_data, save_model, train_model
from artifact_pipeline.builder.escapes import write_out
from artifact_pipeline.builder.metric_table import METRICS, figure
from artifact_pipeline.cli import exit_on_error
from artifact_pipeline.cli.layout import table
from artifact_pipeline.report.text import classification_report

__all__ = [
    "evaluate_model",
    "load_config",
    "load_data",
    "main",
    "save_model",
    "train_model",
]

MODEL = "model_train.pkl"


def main() -> None:
    """Train into a sealed artifact, print its metrics, and write model_train.pkl."""
    run = artifact_pipeline.train("config/config.json", model=MODEL)
    artifact = artifact_pipeline.check_integrity(run.artifact, run.digest)
    for warning in run.warnings:
        print(f"warning: {write_out(warning)}")
    rows = [["", "training rows", "held-out rows"]]
    for metric in METRICS:
        if metric.headline and metric.name in run.metrics.test:
            values = (part[metric.name] for part in (run.metrics.train or {}, run.metrics.test))
            rows.append([metric.title, *map(figure, values)])
    print(table(rows, numbers=2))
    if artifact.manifest.interface.labels:
        print("\nclassification report, held-out rows\n")
        print(classification_report(artifact.evaluation(), run.metrics.test))
    done = "nothing to train, the artifact is in the store" if run.cached else "trained"
    print(f"\n{done}; the model is in {MODEL}, the sealed artifact in\n{run.artifact}")


if __name__ == "__main__":
    with exit_on_error():
        main()
