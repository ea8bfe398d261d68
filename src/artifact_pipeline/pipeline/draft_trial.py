"""Whether the model of a draft learns anything, on folds of the training rows."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

from artifact_pipeline.builder.config import loader as configs
from artifact_pipeline.errors import PipelineError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from artifact_pipeline.builder.config.resolved import ResolvedConfig
    from artifact_pipeline.builder.data.dataset import Target

FOLDS = 3
MIN_ROWS = 30
MAX_ROWS = 2000
"""Maximum rows; of a larger table, each fold learns a seeded sample."""
MARGIN = 0.02
"""A smaller gain of the score may be chance."""
CLEAR_MARGIN = 0.1
"""The score that a slower model must gain over one that learns something."""


class Trial(NamedTuple):
    """The mean score of a model over folds, and that of a baseline on the same rows.

    Scores are the accuracy, against that of the most frequent class of the rows to predict, or R²,
    against 0.
    """

    score: float
    baseline: float
    metric: str

    @property
    def learns(self) -> bool:
        return self.score > self.baseline + MARGIN


def is_clearly_better(trial: Trial, than: Trial) -> bool:
    """Return whether the model of a trial is worth more time than that of another.

    It is if it learns and the other does not, or if it scores much higher and at least as high as
    the baseline.
    """
    learns_alone = trial.learns and not than.learns and trial.score > than.score + MARGIN
    return learns_alone or trial.score > max(trial.baseline, than.score + CLEAR_MARGIN)


def run(config: dict[str, Any]) -> Trial | None:
    """Fit the model of a config to folds of its training rows, and return how it scores.

    None if there are too few rows for folds, or the model cannot be fitted to them.

    Args:
        config: A config's values, with an absolute path of its data.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as a class that is not in every fold
        try:
            return _run(configs.parse(config, "draft"))
        except (PipelineError, ValueError):  # ValueError: scikit-learn cannot make as many folds
            return None


def _run(config: ResolvedConfig) -> Trial | None:
    import numpy as np

    from artifact_pipeline.builder.data.loader import load
    from artifact_pipeline.builder.data.split import folds, split
    from artifact_pipeline.builder.model.construction import build, resolve_for, target_type
    from artifact_pipeline.builder.model.fit import fit

    rows = load(config.data, config.split, target=target_type(config.model), base="")
    model, rows = resolve_for(config.model, rows, random_state=config.split.random_state)
    parts = split(rows, config.split)
    if len(parts.y_train) < MIN_ROWS:
        return None
    generator = np.random.default_rng(config.split.random_state)
    X, y = parts.X_train, parts.y_train
    scores = []
    for train, test in folds(parts, rows, config=config.split, count=FOLDS):
        if len(train) > MAX_ROWS:
            train = generator.choice(train, MAX_ROWS, replace=False)
        estimator: Any = fit(build(model), X.iloc[train], y[train]).estimator
        scores.append(_score(y[test], estimator.predict(X.iloc[test]), target=rows.target))
    score, baseline = (float(value) for value in np.mean(scores, axis=0))
    return Trial(score, baseline, "R²" if rows.target == "number" else "accuracy")


def _score(y: NDArray[Any], predicted: NDArray[Any], *, target: Target) -> tuple[float, float]:
    import numpy as np

    if target == "class":
        _, counts = np.unique(y, return_counts=True)
        return float(np.mean(y == predicted)), float(counts.max() / len(y))
    variance = np.mean((y - y.mean()) ** 2)
    return float(1 - np.mean((y - predicted) ** 2) / variance) if variance else 0.0, 0.0
