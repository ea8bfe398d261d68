"""Train what config/config.json says: `python src/train.py`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import artifact_pipeline
from artifact_pipeline import evaluate_model, load_config, load_data, save_model, train_model
from artifact_pipeline.builder.escapes import write_out
from artifact_pipeline.builder.metric_table import METRICS
from artifact_pipeline.cli import exit_on_error

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
    """Train into a sealed artifact, print how good it is, and leave model_train.pkl here."""
    run = artifact_pipeline.train("config/config.json", model=MODEL)
    artifact = artifact_pipeline.check_integrity(run.artifact, run.digest)
    for warning in run.warnings:
        print(f"warning: {write_out(warning)}")
    print(f"{'':<14}{'training rows':>16}{'held-out rows':>16}")
    for metric in METRICS:
        if metric.headline and metric.name in run.metrics.test:
            figures = (rows[metric.name] for rows in (run.metrics.train or {}, run.metrics.test))
            print(f"{metric.title:<14}" + "".join(f"{figure:>16.4f}" for figure in figures))
    if artifact.manifest.interface.labels:
        print("\nclassification report, held-out rows\n")
        print(artifact_pipeline.classification_report(artifact.evaluation(), run.metrics.test))
    done = "nothing to train, the artifact is in the store" if run.cached else "trained"
    print(f"\n{done}; the model is in {MODEL}, the sealed artifact in {run.artifact}")


if __name__ == "__main__":
    with exit_on_error():
        main()
