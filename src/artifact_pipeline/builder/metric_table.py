"""The metrics: the name, title, task and use of each, in the order in which they are shown.

>>> [metric.title for metric in headline_metrics("number")]
['R²', 'MAE']
>>> heading("f1_weighted"), heading("of_another_writer")
('Weighted F1', 'of_another_writer')
>>> figure(0.958333), figure(46.13891), figure(-33400.549531), figure(0.00002)
('0.9583', '46.139', '-33,401', '2e-05')
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    from artifact_pipeline.builder.data.dataset import Target

Needs: TypeAlias = Literal["predictions", "positive class", "probabilities"]


class Metric(Struct, frozen=True, kw_only=True):
    """One metric.

    Attributes:
        name: Its key in a manifest, and in a gate after `train.` or `test.`.
        title: Its name in text.
        task: The target that it is measured for.
        needs: The outputs that it is computed from, besides the true values.
        lower_is_better: Whether lower values are better.
        headline: Whether it is shown if there is space for two figures.
        required: Whether every manifest of its task contains it.
        default_scoring: Whether it is the default score of a search, under its scikit-learn name.
        card_name: Its name in Hugging Face's model index; None leaves it out there.
    """

    name: str
    title: str
    task: Target
    needs: Needs = "predictions"
    lower_is_better: bool = False
    headline: bool = False
    required: bool = False
    default_scoring: bool = False
    card_name: str | None = None


METRICS = (
    Metric(
        name="accuracy",
        title="accuracy",
        task="class",
        headline=True,
        required=True,
        card_name="accuracy",
    ),
    Metric(name="balanced_accuracy", title="balanced accuracy", task="class"),
    Metric(
        name="f1_weighted",
        title="weighted F1",
        task="class",
        headline=True,
        required=True,
        default_scoring=True,
        card_name="f1",
    ),
    Metric(name="f1_macro", title="macro F1", task="class"),
    Metric(name="precision_weighted", title="weighted precision", task="class"),
    Metric(name="recall_weighted", title="weighted recall", task="class"),
    Metric(name="precision", title="precision", task="class", needs="positive class"),
    Metric(name="recall", title="recall", task="class", needs="positive class"),
    Metric(name="f1", title="F1", task="class", needs="positive class"),
    Metric(name="roc_auc", title="ROC AUC", task="class", needs="probabilities"),
    Metric(
        name="log_loss",
        title="log loss",
        task="class",
        needs="probabilities",
        lower_is_better=True,
    ),
    Metric(
        name="brier",
        title="Brier score",
        task="class",
        needs="probabilities",
        lower_is_better=True,
    ),
    Metric(
        name="r2",
        title="R²",
        task="number",
        headline=True,
        required=True,
        default_scoring=True,
        card_name="r_squared",
    ),
    Metric(
        name="mae",
        title="MAE",
        task="number",
        lower_is_better=True,
        headline=True,
        required=True,
        card_name="mae",
    ),
    Metric(name="rmse", title="RMSE", task="number", lower_is_better=True, required=True),
)
BY_NAME = {metric.name: metric for metric in METRICS}


def headline_metrics(task: Target) -> list[Metric]:
    """Return the metrics of a task to show if there is space for few, in order."""
    return [metric for metric in METRICS if metric.headline and metric.task == task]


def required_metrics(task: Target) -> list[str]:
    """Return the names of the metrics that every manifest of a task contains."""
    return [metric.name for metric in METRICS if metric.required and metric.task == task]


def default_scoring(task: Target) -> str:
    """Return the default score by which a search compares candidates."""
    [name] = [metric.name for metric in METRICS if metric.default_scoring and metric.task == task]
    return name


def title(name: str) -> str:
    """Return the title of a metric, or the name itself if it is not in the table."""
    return BY_NAME[name].title if name in BY_NAME else name


def heading(name: str) -> str:
    """Return the title of a metric with a capital letter, for a table or a card."""
    return title(name)[0].upper() + title(name)[1:] if name in BY_NAME else name


def figure(value: float) -> str:
    """Return a measured number as text: four decimals, or five digits above 10."""
    size = abs(value)
    if not math.isfinite(value) or size >= 1e15:
        return f"{value:.4e}"
    if 0 < size < 0.00005:
        return f"{value:.2g}"
    decimals = 4 if size < 10 else max(0, 4 - int(math.log10(size)))
    return f"{value:,.{decimals}f}"
