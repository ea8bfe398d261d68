"""The headline metric: the one figure by which to judge a model.

>>> choose([50, 50], measured=["accuracy", "balanced_accuracy", "roc_auc"]).metric
'accuracy'
>>> choose([90, 10], measured=["accuracy", "balanced_accuracy", "roc_auc"]).metric
'roc_auc'
>>> choose([90, 5, 5], measured=["accuracy", "balanced_accuracy", "roc_auc"]).metric
'balanced_accuracy'
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

BALANCED = 0.5
"""Classes are in balance if the smallest has at least this part of an equal share of the rows."""


class Headline(NamedTuple):
    """The name of a metric, and a sentence on why it is the headline."""

    metric: str
    reason: str


def choose(supports: Sequence[int], *, measured: Collection[str]) -> Headline:
    """Return the metric to judge a model by.

    Args:
        supports: The held-out rows of each class; none for a regression.
        measured: The names of the metrics that are defined on these rows.
    """
    if not supports:
        if "r2" in measured:
            return Headline("r2", "R² is the headline of a regression.")
        return Headline("mae", "MAE is the headline, because R² needs two rows.")
    share = min(supports) / max(sum(supports), 1)
    least = f"the smallest of {len(supports)} classes has {_percent(share)} of the held-out rows"
    if share * len(supports) >= BALANCED:
        return Headline(
            "accuracy", f"Accuracy is the headline, because classes are balanced: {least}."
        )
    if len(supports) == 2 and "roc_auc" in measured:
        return Headline(
            "roc_auc",
            f"ROC AUC is the headline, because classes are imbalanced: {least}, and accuracy would "
            "reward a model that ignores it.",
        )
    return Headline(
        "balanced_accuracy",
        f"Balanced accuracy is the headline, because classes are imbalanced: {least}, and accuracy "
        "would reward a model that ignores it.",
    )


def _percent(share: float) -> str:
    """Return a share as a percentage, rounded to a whole one unless it is small."""
    return f"{share:.0%}" if share == 0 or share >= 0.095 else f"{share * 100:.2g}%"
