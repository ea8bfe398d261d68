"""The sections of a config file as a user writes them: one frozen struct for each JSON object.

They are the source of the JSON Schema. Optional keys that the file leaves out are `UNSET`;
`resolved` replaces them by their defaults, and later code does not use these structs.
"""

from typing import Annotated, Any, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

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
    expect_one,
    is_given,
)

Fraction: TypeAlias = Annotated[float, Meta(gt=0, lt=1)]
TABLE_KEYS = ("target", "positive", "id", "drop", "columns", "formats", "missing_target", "csv")
"""The keys of `data` that only apply to a table."""

Estimator = Annotated[str, Meta(description="Public name of a scikit-learn class.")]
Alias = Annotated[
    str,
    Meta(
        pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,99}(@[a-z][a-z0-9-]{0,62}|:[1-9][0-9]{0,8})"
        r"|[a-z][a-z0-9-]{0,62}|(sha256:)?[0-9a-f]{8,64})$",
        description="Artifact that was measured on the same held-out rows: an alias of the same "
        "name, such as champion, or churn@champion, churn:3 or a digest.",
    ),
]
Tries = Annotated[int, Meta(ge=1, description="Candidates of a random search; 10 by default.")]
Params = Annotated[dict[str, Any] | UnsetType, Meta(description="Arguments of the constructor.")]


class FormatSection(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The format in which the numbers or dates of one column are written."""

    date: Annotated[
        str | UnsetType, Meta(description="As in Python's strptime, such as %d/%m/%Y.")
    ] = UNSET
    thousands: Annotated[
        Thousands | UnsetType, Meta(description="Separator between groups of digits.")
    ] = UNSET
    decimal: Annotated[
        Decimal | UnsetType, Meta(description="Decimal mark; that of data.csv by default.")
    ] = UNSET
    unit: Annotated[
        Annotated[str, Meta(min_length=1, max_length=20)] | UnsetType,
        Meta(description="Text to remove before or after a number, such as $, % or kg."),
    ] = UNSET

    def __post_init__(self) -> None:
        check_format(self)


class DataSection(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The source of the rows: a bundled data set or a table."""

    dataset: Annotated[
        Dataset | UnsetType, Meta(description="One of scikit-learn's bundled data sets.")
    ] = UNSET
    path: Annotated[
        str | UnsetType,
        Meta(description="A table: .csv, .parquet or .jsonl files; relative to the config."),
    ] = UNSET
    target: Annotated[str | UnsetType, Meta(description="Column to predict.")] = UNSET
    positive: Annotated[
        bool | int | str | UnsetType,
        Meta(description="The positive one of two classes, for precision, recall and F1."),
    ] = UNSET
    id: Annotated[
        str | UnsetType, Meta(description="Column that identifies a row; not a feature.")
    ] = UNSET
    drop: Annotated[list[str], Meta(description="Columns to leave out.")] | UnsetType = UNSET
    columns: (
        Annotated[
            dict[str, Kind], Meta(description="Types of columns, in place of the inferred ones.")
        ]
        | UnsetType
    ) = UNSET
    formats: (
        Annotated[
            dict[str, FormatSection],
            Meta(description="Formats of columns whose numbers or dates need one to be read."),
        ]
        | UnsetType
    ) = UNSET
    missing_target: Annotated[
        Literal["drop"] | UnsetType,
        Meta(description="drop: leave out rows without a target. By default they are an error."),
    ] = UNSET
    csv: Csv | UnsetType = UNSET
    examples: Annotated[
        Annotated[int, Meta(ge=0, le=100)] | UnsetType,
        Meta(description="Held-out rows to show in the report; of a table none by default."),
    ] = UNSET

    def __post_init__(self) -> None:
        expect_one(self, "dataset", second="path")
        if self.path is UNSET:
            for key in TABLE_KEYS:
                if is_given(self, key):
                    raise ValueError(f"Expected {key!r} only with a 'path'")
        elif self.target is UNSET:
            raise ValueError("Expected 'target', the column to predict")


class SplitSection(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The split into training and held-out rows."""

    method: Method = "random"
    column: Annotated[
        str | UnsetType,
        Meta(description="Column with the group, the time, or train and test; not a feature."),
    ] = UNSET
    test_size: Annotated[
        Fraction | UnsetType, Meta(description="Share of the rows to hold out; 0.2 by default.")
    ] = UNSET
    random_state: Annotated[
        Seed, Meta(description="Seed of the split, and of each estimator that sets none itself.")
    ] = 42
    stratify: Annotated[
        bool | UnsetType,
        Meta(description="Keep the share of each class on both sides; the default for classes."),
    ] = UNSET

    def __post_init__(self) -> None:
        if (self.method == "random") != (self.column is UNSET):
            raise ValueError("Expected 'column' if 'method' is group, time or column")
        if self.method == "column" and self.test_size is not UNSET:
            raise ValueError("Expected no 'test_size' with the method 'column'")
        if self.method != "random" and self.stratify is not UNSET:
            raise ValueError("Expected 'stratify' only with a random split")


class BranchStepSection(Struct, frozen=True, forbid_unknown_fields=True):
    """One step of a branch; its name defaults to that of its class in lower case."""

    estimator: Estimator
    params: Params = UNSET
    name: Name | UnsetType = UNSET


class BranchSection(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Steps for some columns: `columns` passes on a table, `column` one column as a list."""

    name: Name
    columns: (
        Annotated[list[str], Meta(min_length=1, description="Columns to pass on as a table.")]
        | UnsetType
    ) = UNSET
    column: Annotated[
        str | UnsetType, Meta(description="One column to pass on as a list of values.")
    ] = UNSET
    estimator: Annotated[
        str | UnsetType,
        Meta(description="Public name of a scikit-learn class, or passthrough."),
    ] = UNSET
    params: Params = UNSET
    steps: Annotated[list[BranchStepSection], Meta(min_length=1)] | UnsetType = UNSET

    def __post_init__(self) -> None:
        check_branch(self)


class StepSection(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One named step of a Pipeline: an estimator, or branches by column (a ColumnTransformer)."""

    name: Name
    estimator: Annotated[
        str | UnsetType, Meta(description="Public name of a scikit-learn class.")
    ] = UNSET
    params: Params = UNSET
    branches: Annotated[list[BranchSection], Meta(min_length=1)] | UnsetType = UNSET
    remainder: Annotated[
        Literal["drop", "passthrough"] | UnsetType,
        Meta(description="What happens to the other columns; drop by default."),
    ] = UNSET

    def __post_init__(self) -> None:
        check_step(self)


class ModelSection(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One estimator with its parameters, or the steps of a Pipeline."""

    estimator: Annotated[
        str | UnsetType,
        Meta(description="Such as sklearn.linear_model.LogisticRegression."),
    ] = UNSET
    params: Params = UNSET
    steps: Annotated[
        Annotated[list[StepSection], Meta(min_length=1)] | UnsetType,
        Meta(description="Steps of a Pipeline, in place of estimator and params."),
    ] = UNSET
    preprocess: Annotated[
        Literal["auto"] | UnsetType,
        Meta(description="auto: impute and scale numbers, encode text."),
    ] = UNSET

    def __post_init__(self) -> None:
        check_model(self)


class SearchSection(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Parameters to try; the artifact contains the best candidate by cross-validation."""

    params: Annotated[
        dict[str, Any],
        Meta(
            min_length=1,
            description="Lists of values by parameter, such as model__C. A random search also "
            'takes {"uniform": [low, high]}, loguniform and randint.',
        ),
    ]
    method: Annotated[
        Literal["grid", "random"], Meta(description="All combinations, or a random sample of them.")
    ] = "grid"
    n_iter: Tries | UnsetType = UNSET
    cv: Annotated[Folds, Meta(description="Number of folds of the training rows.")] = 5
    scoring: Annotated[
        str | UnsetType,
        Meta(description="Name of a scikit-learn scorer; f1_weighted or r2 by default."),
    ] = UNSET

    def __post_init__(self) -> None:
        if self.method == "grid" and self.n_iter is not UNSET:
            raise ValueError("Expected 'n_iter' only with a random search")


class EvaluationSection(Struct, frozen=True, forbid_unknown_fields=True):
    """Measurements besides those on all held-out rows."""

    cv: Annotated[
        Folds | UnsetType, Meta(description="Folds of a cross-validation on the training rows.")
    ] = UNSET
    slices: Annotated[
        dict[str, dict[str, Value]] | UnsetType,
        Meta(description="Named groups of held-out rows: those where each column has the value."),
    ] = UNSET


class GateSection(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Inclusive bounds on a metric, and comparisons with other models."""

    min: float | UnsetType = UNSET
    max: float | UnsetType = UNSET
    not_worse_than: Alias | UnsetType = UNSET
    tolerance: Annotated[
        Annotated[float, Meta(ge=0)] | UnsetType,
        Meta(description="How much worse the metric may be; 0 by default."),
    ] = UNSET
    confidence: Annotated[
        Annotated[float, Meta(ge=0.5, lt=1)] | UnsetType,
        Meta(description="Fail only if a paired test finds with it that the metric is worse."),
    ] = UNSET
    required: Annotated[
        bool | UnsetType,
        Meta(description="Fail if the alias names no artifact; by default the gate passes then."),
    ] = UNSET
    better_than: Annotated[
        Literal["baseline"] | UnsetType,
        Meta(description="scikit-learn's dummy model, fitted on the same rows."),
    ] = UNSET


class ConfigFile(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A config in the full form."""

    data: DataSection
    model: ModelSection
    name: ModelName | UnsetType = UNSET
    description: ModelDescription | UnsetType = UNSET
    split: SplitSection = SplitSection()
    search: SearchSection | UnsetType = UNSET
    evaluation: EvaluationSection | UnsetType = UNSET
    gates: Annotated[
        dict[str, GateSection],
        Meta(description="Bounds on metrics, named like `test.accuracy` or `test.mae[pune]`."),
    ] = {}


class ShortConfigFile(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A config in the short form: LogisticRegression on the digits."""

    C: Annotated[float, Meta(gt=0, description="Inverse strength of regularisation.")]
    solver: Annotated[str, Meta(description="The optimiser, such as lbfgs.")]
    max_iter: Annotated[int, Meta(ge=0, description="Maximum number of iterations.")]
    random_state: Annotated[Seed, Meta(description="Seed of the estimator and of the split.")]
    test_size: Annotated[Fraction, Meta(description="Share of the rows to hold out.")]
    name: ModelName | UnsetType = UNSET
    description: ModelDescription | UnsetType = UNSET
    gates: dict[str, GateSection] = {}
