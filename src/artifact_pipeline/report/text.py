"""The classification report as text."""

from __future__ import annotations

from collections.abc import Mapping

from artifact_pipeline.builder.artifact.evaluation import AVERAGED, ClassScores, EvaluationReport
from artifact_pipeline.builder.escapes import write_out


def classification_report(evaluation: EvaluationReport, metrics: Mapping[str, float]) -> str:
    """Return the table of `sklearn.metrics.classification_report` for a sealed evaluation."""
    unseen = [
        ClassScores(
            label=unlearned.label,
            name=unlearned.name,
            precision=0.0,
            recall=0.0,
            f1=0.0,
            support=unlearned.support,
        )
        for unlearned in evaluation.unlearned or []
    ]
    classes = sorted([*evaluation.per_class, *unseen], key=lambda scores: scores.label)
    numbers = "{:>14}{:>10.4f}{:>10.4f}{:>10.4f}{:>10}"
    rows = evaluation.rows
    macro = [sum(getattr(c, k) for c in classes) / len(classes) for k in AVERAGED]
    weighted = [metrics[f"{k}_weighted"] for k in AVERAGED]
    return "\n".join(
        [
            f"{'':>14}{'precision':>10}{'recall':>10}{'f1-score':>10}{'support':>10}",
            "",
            *(
                numbers.format(write_out(c.name)[:13], c.precision, c.recall, c.f1, c.support)
                for c in classes
            ),
            "",
            f"{'accuracy':>14}{'':>20}{metrics['accuracy']:>10.4f}{rows:>10}",
            numbers.format("macro avg", *macro, rows),
            numbers.format("weighted avg", *weighted, rows),
        ]
    )
