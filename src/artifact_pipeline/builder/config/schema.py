"""What a config may say: one frozen struct for each object of the JSON file.

`config.py` reads a file into them, and says what is wrong with one.
"""

from typing import Annotated, Any, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

Dataset: TypeAlias = Literal["breast_cancer", "diabetes", "digits", "iris", "wine"]
Kind: TypeAlias = Literal["number", "boolean", "date", "text"]
"""What the values of a column are."""
Thousands: TypeAlias = Literal[",", ".", " ", "'", "_"]
Decimal: TypeAlias = Literal[".", ","]
Method: TypeAlias = Literal["random", "group", "time", "column"]
"""By chance, groups kept together, the latest held out, or as a column says."""
Seed: TypeAlias = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Fraction: TypeAlias = Annotated[float, Meta(gt=0, lt=1)]
Folds: TypeAlias = Annotated[int, Meta(ge=2, le=100)]
Value: TypeAlias = bool | int | float | str
"""A class label, or a number."""

OF_TABLES = ("target", "id", "drop", "columns", "formats", "missing_target", "csv")
"""The keys of `data` that apply to a table only."""
TEST_SIZE = 0.2
"""The share of rows held out where the config says none."""

Name = Annotated[str, Meta(pattern="^[A-Za-z][A-Za-z0-9_-]*$", description="Unique; no `__`.")]
Estimator = Annotated[str, Meta(description="The public name of a scikit-learn class.")]
Alias = Annotated[
    str,
    Meta(
        pattern="^[a-z][a-z0-9-]{0,63}$",
        description="That of an artifact that was measured on the same held-out rows.",
    ),
]
Tries = Annotated[int, Meta(ge=1, description="Of a random search; 10 unless given.")]
Params = Annotated[
    dict[str, Any] | UnsetType, Meta(description="The arguments of its constructor.")
]


class Csv(Struct, frozen=True, forbid_unknown_fields=True):
    """How a CSV file is written, where it is not as most are."""

    delimiter: Annotated[
        str, Meta(pattern=r'^[^\r\n"]$', description="What stands between two cells.")
    ] = ","
    decimal: Annotated[Decimal, Meta(description="The decimal mark of numbers.")] = "."
    encoding: Annotated[str, Meta(description="Such as utf-8 or latin-1.")] = "utf-8"
    null_values: Annotated[
        list[str], Meta(description="What stands for a missing value, beside an empty cell.")
    ] = []


class ColumnFormat(Struct, frozen=True, forbid_unknown_fields=True):
    """How the numbers or the dates of one column are written."""

    date: Annotated[
        str | UnsetType, Meta(description="As in Python's strptime, such as %d/%m/%Y.")
    ] = UNSET
    thousands: Annotated[
        Thousands | UnsetType,
        Meta(description="The separator between groups of digits."),
    ] = UNSET
    decimal: Annotated[
        Decimal | UnsetType,
        Meta(description="The decimal mark; that of data.csv unless given."),
    ] = UNSET
    unit: Annotated[
        Annotated[str, Meta(min_length=1, max_length=20)] | UnsetType,
        Meta(description="Text to remove before or after a number, such as $, % or kg."),
    ] = UNSET

    def __post_init__(self) -> None:
        of_numbers = (self.thousands, self.decimal, self.unit)
        if (self.date is UNSET) == all(one is UNSET for one in of_numbers):
            raise ValueError("Expected either 'date', or 'thousands', 'decimal' or 'unit'")
        if self.thousands is not UNSET and self.thousands == self.decimal:
            raise ValueError("Expected different 'thousands' and 'decimal'")
        if isinstance(self.unit, str) and (
            self.unit != self.unit.strip() or any(one in "0123456789+-" for one in self.unit)
        ):
            raise ValueError("Expected a 'unit' without digits, signs or surrounding spaces")

    @property
    def kind(self) -> Kind:
        """What the values of such a column are."""
        return "number" if self.date is UNSET else "date"


class Data(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the rows come from: a bundled data set, or a table of one's own."""

    dataset: Annotated[
        Dataset | UnsetType, Meta(description="One of scikit-learn's bundled data sets.")
    ] = UNSET
    path: Annotated[
        str | UnsetType,
        Meta(description="A table: .csv, .parquet or .jsonl files; relative to the config."),
    ] = UNSET
    target: Annotated[str | UnsetType, Meta(description="The column to predict.")] = UNSET
    positive: Annotated[
        bool | int | str | UnsetType,
        Meta(description="Of two classes the one that precision, recall and F1 speak of."),
    ] = UNSET
    id: Annotated[
        str | UnsetType, Meta(description="The column that names a row; it is no feature.")
    ] = UNSET
    drop: Annotated[list[str], Meta(description="Columns that are no features.")] | UnsetType = (
        UNSET
    )
    columns: (
        Annotated[
            dict[str, Kind], Meta(description="What a column is, where it is not as it looks.")
        ]
        | UnsetType
    ) = UNSET
    formats: (
        Annotated[
            dict[str, ColumnFormat],
            Meta(description="How a column's numbers or dates are written, where unusual."),
        ]
        | UnsetType
    ) = UNSET
    missing_target: Annotated[
        Literal["drop"] | UnsetType,
        Meta(description="drop: leave out rows without a target, which are refused otherwise."),
    ] = UNSET
    csv: Csv | UnsetType = UNSET
    examples: Annotated[
        Annotated[int, Meta(ge=0, le=100)] | UnsetType,
        Meta(description="Held-out rows that the artifact shows; of a table none unless given."),
    ] = UNSET

    def __post_init__(self) -> None:
        if (self.dataset is UNSET) == (self.path is UNSET):
            raise ValueError("Expected either 'dataset' or 'path'")
        if self.path is UNSET:
            for key in OF_TABLES:
                if getattr(self, key) is not UNSET:
                    raise ValueError(f"Expected {key!r} with a 'path' alone")
        elif self.target is UNSET:
            raise ValueError("Expected 'target', the column to predict")


class SplitConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """How the rows are parted into training and held-out rows."""

    method: Method = "random"
    column: Annotated[
        str | UnsetType, Meta(description="The group, the time, or train and test; no feature.")
    ] = UNSET
    test_size: Annotated[
        Fraction | UnsetType, Meta(description="The share of rows held out; 0.2 unless given.")
    ] = UNSET
    random_state: Annotated[
        Seed, Meta(description="Seeds the split, and each estimator that leaves its own unset.")
    ] = 42
    stratify: Annotated[
        bool | UnsetType,
        Meta(description="Whether each class keeps its share on both sides; so it is for classes."),
    ] = UNSET

    def __post_init__(self) -> None:
        if (self.method == "random") != (self.column is UNSET):
            raise ValueError("Expected 'column' where 'method' is group, time or column")
        if self.method == "column" and self.test_size is not UNSET:
            raise ValueError("Expected no 'test_size' where a column says what is held out")
        if self.method != "random" and self.stratify is not UNSET:
            raise ValueError("Expected 'stratify' with a random split alone")

    def share(self) -> float:
        """Return the share of rows that is held out."""
        return TEST_SIZE if isinstance(self.test_size, UnsetType) else self.test_size


class Inner(Struct, frozen=True, forbid_unknown_fields=True):
    """One step of a branch; without a name it gets that of its class."""

    estimator: Estimator
    params: Params = UNSET
    name: Name | UnsetType = UNSET


class Branch(Struct, frozen=True, forbid_unknown_fields=True):
    """What becomes of some columns: `columns` passes a table on, `column` one column."""

    name: Name
    columns: (
        Annotated[list[str], Meta(min_length=1, description="The columns, as a table.")] | UnsetType
    ) = UNSET
    column: Annotated[str | UnsetType, Meta(description="One column, as a list of values.")] = UNSET
    estimator: Annotated[
        str | UnsetType,
        Meta(description="The public name of a scikit-learn class, or passthrough."),
    ] = UNSET
    params: Params = UNSET
    steps: Annotated[list[Inner], Meta(min_length=1)] | UnsetType = UNSET

    def __post_init__(self) -> None:
        if (self.columns is UNSET) == (self.column is UNSET):
            raise ValueError("Expected either 'columns' or 'column'")
        if (self.estimator is UNSET) == (self.steps is UNSET):
            raise ValueError("Expected either 'estimator' or 'steps'")
        if self.steps is not UNSET and self.params is not UNSET:
            raise ValueError("Expected 'params' in the steps, not beside them")

    def as_steps(self) -> list[Inner]:
        """Return the steps, or the one estimator as the only step."""
        if isinstance(self.steps, list):
            return self.steps
        assert isinstance(self.estimator, str)
        return [Inner(self.estimator, self.params)]

    def names(self) -> list[str]:
        """Return the columns that it takes."""
        return self.columns if isinstance(self.columns, list) else [str(self.column)]


class Step(Struct, frozen=True, forbid_unknown_fields=True):
    """One named step of a Pipeline: an estimator, or branches by column (a ColumnTransformer)."""

    name: Name
    estimator: Annotated[
        str | UnsetType, Meta(description="The public name of a scikit-learn class.")
    ] = UNSET
    params: Params = UNSET
    branches: Annotated[list[Branch], Meta(min_length=1)] | UnsetType = UNSET
    remainder: Annotated[
        Literal["drop", "passthrough"] | UnsetType,
        Meta(description="What becomes of the columns of no branch; dropped unless given."),
    ] = UNSET

    def __post_init__(self) -> None:
        if (self.estimator is UNSET) == (self.branches is UNSET):
            raise ValueError("Expected either 'estimator' or 'branches'")
        if self.branches is UNSET and self.remainder is not UNSET:
            raise ValueError("Expected 'remainder' beside 'branches'")
        if self.branches is not UNSET and self.params is not UNSET:
            raise ValueError("Expected 'params' in the branches, not beside them")


class ModelConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """One estimator with its parameters, or a list of steps that ends in one."""

    estimator: Annotated[
        str | UnsetType,
        Meta(description="Such as sklearn.linear_model.LogisticRegression."),
    ] = UNSET
    params: Params = UNSET
    steps: Annotated[
        Annotated[list[Step], Meta(min_length=1)] | UnsetType,
        Meta(description="The steps of a Pipeline, in place of both."),
    ] = UNSET
    preprocess: Annotated[
        Literal["auto"] | UnsetType,
        Meta(description="auto: numbers are imputed and scaled first, text is one-hot."),
    ] = UNSET

    def __post_init__(self) -> None:
        if (self.estimator is UNSET) == (self.steps is UNSET):
            raise ValueError("Expected either 'estimator' or 'steps'")
        if self.steps is not UNSET and self.params is not UNSET:
            raise ValueError("Expected 'params' in the steps, not beside them")
        if self.steps is not UNSET and self.preprocess is not UNSET:
            raise ValueError("Expected 'preprocess' with one estimator alone")

    def as_steps(self) -> list[Step]:
        """Return the steps, or the one estimator as the only step."""
        if isinstance(self.steps, list):
            return self.steps
        return [Step("model", self.estimator, self.params or {})]


class Search(Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the model to try; the best by cross-validation is the one that is sealed."""

    params: Annotated[
        dict[str, Any],
        Meta(
            min_length=1,
            description="Lists of values by parameter, such as model__C; a random search also "
            'takes {"uniform": [low, high]}, and so loguniform and randint.',
        ),
    ]
    method: Annotated[
        Literal["grid", "random"], Meta(description="All combinations, or some of them.")
    ] = "grid"
    n_iter: Tries | UnsetType = UNSET
    cv: Annotated[Folds, Meta(description="How many folds of the training rows.")] = 5
    scoring: Annotated[
        str | UnsetType,
        Meta(description="scikit-learn's name of a score; f1_weighted or r2 unless given."),
    ] = UNSET

    def __post_init__(self) -> None:
        if self.method == "grid" and self.n_iter is not UNSET:
            raise ValueError("Expected 'n_iter' with a random search alone")


class EvaluationConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What is measured beside the held-out rows as a whole."""

    cv: Annotated[
        Folds | UnsetType, Meta(description="Folds of a cross-validation on the training rows.")
    ] = UNSET
    slices: Annotated[
        dict[str, dict[str, Value]] | UnsetType,
        Meta(description="Held-out rows by a name: those where each column has the value."),
    ] = UNSET


class Gate(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The bounds within which a metric must lie, all inclusive."""

    min: float | UnsetType = UNSET
    max: float | UnsetType = UNSET
    not_worse_than: Alias | UnsetType = UNSET
    tolerance: Annotated[
        Annotated[float, Meta(ge=0)] | UnsetType,
        Meta(description="How much worse it may be; not at all unless given."),
    ] = UNSET


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """What to train: the full form."""

    data: Data
    model: ModelConfig
    split: SplitConfig = SplitConfig()
    search: Search | UnsetType = UNSET
    evaluation: EvaluationConfig | UnsetType = UNSET
    gates: Annotated[
        dict[str, Gate],
        Meta(description="Bounds on metrics, named like `test.accuracy` or `test.mae[pune]`."),
    ] = {}


class Short(Struct, frozen=True, forbid_unknown_fields=True):
    """What to train: the short form, LogisticRegression on the digits."""

    C: Annotated[float, Meta(gt=0, description="Inverse strength of regularisation.")]
    solver: Annotated[str, Meta(description="The optimiser, such as lbfgs.")]
    max_iter: Annotated[int, Meta(ge=0, description="The most iterations that it may take.")]
    random_state: Annotated[Seed, Meta(description="Seeds the estimator and the split.")]
    test_size: Annotated[Fraction, Meta(description="The share of rows held out.")]
    gates: dict[str, Gate] = {}
