"""A config with every default filled in, as used by the rest of the package."""

from typing import Any, Literal, TypeAlias

from msgspec import Struct

from artifact_pipeline.builder.config.model_name import ModelDescription, ModelName
from artifact_pipeline.builder.config.values import (
    Csv,
    Dataset,
    Decimal,
    Folds,
    Kind,
    Method,
    Name,
    Seed,
    Thousands,
    Value,
    check_branch,
    check_format,
    check_model,
    check_step,
)

# Recipes and manifests contain some of these structs, without the fields that have defaults.


class ColumnFormat(
    Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """The format in which the numbers or dates of one column are written."""

    date: str | None = None
    """As in Python's `strptime`."""
    thousands: Thousands | None = None
    decimal: Decimal | None = None
    """The decimal mark; None for the mark of the file, a point except in some CSVs."""
    unit: str | None = None

    def __post_init__(self) -> None:
        check_format(self)

    @property
    def kind(self) -> Kind:
        """The type of the column's values."""
        return "number" if self.date is None else "date"


class BundledData(Struct, frozen=True, tag="bundled"):
    """One of scikit-learn's bundled data sets."""

    dataset: Dataset
    examples: int = 100
    """Held-out rows to show in the report."""


class TableData(Struct, frozen=True, tag="table", kw_only=True):
    """A table in files."""

    path: str
    """Relative to the config."""
    target: str
    positive: Value | None = None
    id: str | None = None
    drop: list[str] = []
    columns: dict[str, Kind] = {}
    formats: dict[str, ColumnFormat] = {}
    missing_target: Literal["drop"] | None = None
    """None: a row without a target is an error."""
    csv: Csv | None = None
    """None for the usual dialect, and for files of another format."""
    examples: int = 0
    """Held-out rows to show in the report."""


DataConfig: TypeAlias = BundledData | TableData


class SplitConfig(Struct, frozen=True, kw_only=True):
    """The split into training and held-out rows."""

    method: Method = "random"
    column: str | None = None
    test_size: float = 0.2
    """The share of held-out rows; ignored by the method `column`."""
    random_state: Seed = 42
    stratify: bool | None = None
    """None: a random split is stratified if it predicts classes."""


class Inner(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One step of a branch."""

    estimator: str
    params: dict[str, Any] | None = None
    name: Name | None = None


class Branch(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Steps for some columns: `columns` passes on a table, `column` one column as a list."""

    name: Name
    columns: list[str] | None = None
    column: str | None = None
    estimator: str | None = None
    params: dict[str, Any] | None = None
    steps: list[Inner] | None = None

    def __post_init__(self) -> None:
        check_branch(self)

    def as_steps(self) -> list[Inner]:
        """Return the steps, or the single estimator as the only step."""
        if self.steps is not None:
            return self.steps
        assert self.estimator is not None
        return [Inner(self.estimator, self.params)]

    def names(self) -> list[str]:
        """Return the names of its columns."""
        return [str(self.column)] if self.columns is None else self.columns


class Step(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """One named step of a Pipeline: an estimator, or branches by column (a ColumnTransformer)."""

    name: Name
    estimator: str | None = None
    params: dict[str, Any] | None = None
    branches: list[Branch] | None = None
    remainder: Literal["drop", "passthrough"] | None = None
    """The treatment of columns without a branch; None only without branches."""

    def __post_init__(self) -> None:
        check_step(self)


class ModelConfig(
    Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """One estimator with its parameters, or the steps of a Pipeline."""

    estimator: str | None = None
    params: dict[str, Any] | None = None
    steps: list[Step] | None = None
    preprocess: Literal["auto"] | None = None

    def __post_init__(self) -> None:
        check_model(self)

    def as_steps(self) -> list[Step]:
        """Return the steps, or the single estimator as the only step."""
        if self.steps is not None:
            return self.steps
        return [Step(name="model", estimator=self.estimator, params=self.params or {})]


class Search(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Parameters to try by cross-validation."""

    params: dict[str, Any]
    method: Literal["grid", "random"]
    n_iter: int | None = None
    """Candidates of a random search; None for a grid."""
    cv: Folds
    scoring: str | None = None
    """The name of a scikit-learn scorer; None for the usual one of the target."""


class EvaluationConfig(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Measurements besides those on all held-out rows."""

    cv: Folds | None = None
    slices: dict[str, dict[str, Value]] | None = None


class Gate(Struct, frozen=True, kw_only=True):
    """Inclusive bounds on a metric, and comparisons with other models."""

    min: float | None = None
    max: float | None = None
    not_worse_than: str | None = None
    """An alias."""
    tolerance: float = 0.0
    """How much worse than the metric of the alias the metric may be."""
    confidence: float | None = None
    """If given, only a paired test that finds the metric worse with it fails the gate."""
    required: bool = False
    """Whether an alias that names no artifact fails the gate."""
    better_than: Literal["baseline"] | None = None
    """The dummy model, whose metrics are in the evaluation."""


class ResolvedConfig(Struct, frozen=True, kw_only=True):
    """A config with every default filled in."""

    data: DataConfig
    model: ModelConfig
    name: ModelName | None = None
    """The name of the model; None if the config has none and the table's path gives none."""
    description: ModelDescription | None = None
    split: SplitConfig = SplitConfig()
    search: Search | None = None
    evaluation: EvaluationConfig | None = None
    gates: dict[str, Gate] = {}
