"""The diagnostics in `evaluation.json`: intervals, curves, bins and counts for the report.

They are aggregates: no row of the data can be read from them. Counts of values and ends of ranges
follow `MIN_COUNT` and `column_summaries`.
"""

from __future__ import annotations

from msgspec import Struct

MIN_COUNT = 5
"""Minimum training rows with a text that is shown."""


class ConfidenceInterval(Struct, frozen=True, forbid_unknown_fields=True):
    """A confidence interval of a metric."""

    low: float
    high: float


class Resampling(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The method of the intervals: a percentile bootstrap over held-out rows."""

    level: float
    """The confidence, such as 0.95."""
    samples: int
    rows: int
    """The number of rows that were drawn from; a sample if many rows are held out."""


class Curve(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The counts behind the ROC curve and the precision-recall curve of one class."""

    label: int
    """The position of the class among the labels."""
    positives: int
    """Held-out rows of the class."""
    negatives: int
    """Held-out rows of the other classes."""
    thresholds: list[float]
    """Falling; four digits."""
    true_positives: list[int]
    """Rows of the class with at least this probability of it, for each threshold."""
    false_positives: list[int]
    """Other rows with at least this probability of the class, for each threshold."""
    roc_auc: float
    average_precision: float


class ProbabilityBin(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The rows whose probability of a class is in [low, high); the last bin includes 1."""

    low: float
    high: float
    rows: int
    mean: float
    """The mean of the probabilities."""
    share: float
    """The share of these rows that belong to the class."""


class ClassProbabilities(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The probabilities of one class on the held-out rows."""

    label: int
    """The position of the class among the labels."""
    of_class: list[int]
    """Rows of the class in each of equally wide bins from 0 to 1."""
    of_others: list[int]
    """Other rows in each of the same bins."""
    calibration: list[ProbabilityBin]


class Histogram(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Counts in equally wide bins from `low` to `high`."""

    low: float
    high: float
    counts: list[int]
    outside: int
    """Rows below `low` or above `high`."""


class Density(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Counts in equally large rectangles."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float
    counts: list[list[int]]
    """A list for each bin of y, lowest first, with a count for each bin of x."""
    outside: int
    """Rows beyond these ranges."""


class Residuals(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Predicted minus true numbers on the held-out rows."""

    predicted_by_true: Density
    residual_by_predicted: Density
    histogram: Histogram
    quantiles: list[float]
    """At `RESIDUAL_SHARES`."""


class FeatureImportance(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much worse a metric becomes when the values of one feature are shuffled."""

    feature: str
    mean: float
    std: float
    """The standard deviation over the repeats."""


class Importance(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The permutation importance of all features on held-out rows (Breiman 2001)."""

    metric: str
    rows: int
    """The held-out rows that were shuffled."""
    repeats: int
    features: list[FeatureImportance]
    """In the order of the interface."""


class Coefficient(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The weight of one input of the last estimator."""

    name: str
    """The name of the encoded column."""
    values: list[float]
    """A coefficient for each label or one for all; for trees, the importance."""
    strength: float
    """The largest absolute coefficient times the standard deviation of the input."""


class Coefficients(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The weights of a linear model or the importances of trees, the strongest first."""

    kind: str
    """`coefficients` or `importances`."""
    inputs: int
    """The number of encoded columns; those that are not listed are weaker or rare."""
    listed: list[Coefficient]


class ValueCount(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A frequent value of a column."""

    value: str
    train: int
    test: int


class ColumnProfile(
    Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """A column in the training and held-out rows, or in a sample of each."""

    name: str
    kind: str
    train_rows: int
    """The training rows that were summarized; 0 if they are not known."""
    test_rows: int
    train_missing: int
    test_missing: int
    distinct: int
    """Distinct values in the summarized training rows, or in the held-out rows without any."""
    low: float | None = None
    """The smallest number, rounded down; in seconds since 1970 for a date."""
    high: float | None = None
    """The largest number, rounded up."""
    median: float | None = None
    """Rounded."""
    train: list[int] | None = None
    """Training rows in each of equally wide bins from `low` to `high`."""
    test: list[int] | None = None
    """Held-out rows in the same bins; the outer bins include rows beyond."""
    top: list[ValueCount] | None = None
    """The most frequent texts that at least `MIN_COUNT` rows have."""


class Diagnostics(
    Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """Aggregates of the held-out rows, the training rows and the model."""

    headline: str
    """The metric to judge the model by."""
    reason: str
    """A sentence with the reason."""
    resampling: Resampling
    intervals: dict[str, ConfidenceInterval]
    """By metric; a metric that has the same value on all samples has none."""
    slices: dict[str, ConfidenceInterval] | None = None
    """The interval of the headline by slice."""
    curves: list[Curve] | None = None
    probabilities: list[ClassProbabilities] | None = None
    residuals: Residuals | None = None
    importance: Importance | None = None
    coefficients: Coefficients | None = None
    columns: list[ColumnProfile] | None = None
    target: ColumnProfile | None = None
    """The target of a regression."""
    class_rows: list[int] | None = None
    """The training rows of each label."""

    def fits(self, labels: int) -> bool:
        """Return whether all tables have the right sizes for a model with so many labels."""
        curves, densities = self.curves or [], []
        if self.residuals is not None:
            densities = [self.residuals.predicted_by_true, self.residuals.residual_by_predicted]
            if len(self.residuals.quantiles) != len(RESIDUAL_SHARES):
                return False
        columns = [*(self.columns or []), *([self.target] if self.target else [])]
        return (
            all(0 <= curve.label < labels and _is_curve(curve) for curve in curves)
            and all(0 <= part.label < labels for part in self.probabilities or [])
            and all(
                len(part.of_class) == len(part.of_others) > 0 for part in self.probabilities or []
            )
            and all(
                density.counts and len({len(row) for row in density.counts}) == 1
                for density in densities
            )
            and all(part.values for part in (self.coefficients.listed if self.coefficients else []))
            and all(
                (column.train is None) == (column.test is None) == (column.low is None)
                and len(column.train or []) == len(column.test or [])
                for column in columns
            )
            and (self.class_rows is None or len(self.class_rows) == labels)
        )


RESIDUAL_SHARES = (
    0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975, 0.99
)  # fmt: skip
"""The shares of rows at which the quantiles of the residuals are taken."""


def _is_curve(curve: Curve) -> bool:
    points = len(curve.thresholds)
    return (
        points == len(curve.true_positives) == len(curve.false_positives)
        and min(curve.positives, curve.negatives, points) > 0
        and all(0 <= count <= curve.positives for count in curve.true_positives)
        and all(0 <= count <= curve.negatives for count in curve.false_positives)
    )
