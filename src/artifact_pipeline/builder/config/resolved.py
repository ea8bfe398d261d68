"""A config with every default filled in: what the rest of the package works with.

>>> from artifact_pipeline.builder.config.schema import ConfigFile, DataSection, ModelSection
>>> bayes = ModelSection(estimator="sklearn.naive_bayes.GaussianNB")
>>> config = resolve(ConfigFile(data=DataSection(dataset="iris"), model=bayes))
>>> config.data, config.split.test_size, config.model.params
(BundledData(dataset='iris', examples=100), 0.2, {})
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Struct, UnsetType

from artifact_pipeline.builder.config import model_name, schema
from artifact_pipeline.builder.config.model_name import ModelDescription, ModelName
from artifact_pipeline.builder.config.schema import (
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
)

Resolved = TypeVar("Resolved", bound=Struct)

# Recipes and manifests hold some of these structs. There a field with its default is left out.


class ColumnFormat(
    Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """The format in which the numbers or dates of one column are written."""

    date: str | None = None
    """As in Python's `strptime`."""
    thousands: Thousands | None = None
    decimal: Decimal | None = None
    """The decimal mark; None for that of the file, which is a point unless it is a CSV."""
    unit: str | None = None

    def __post_init__(self) -> None:
        schema.check_format(self)

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
        schema.check_branch(self)

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
    """What happens to the columns of no branch; None only without branches."""

    def __post_init__(self) -> None:
        schema.check_step(self)


class ModelConfig(
    Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """One estimator with its parameters, or the steps of a Pipeline."""

    estimator: str | None = None
    params: dict[str, Any] | None = None
    steps: list[Step] | None = None
    preprocess: Literal["auto"] | None = None

    def __post_init__(self) -> None:
        schema.check_model(self)

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
    """Inclusive bounds on a metric."""

    min: float | None = None
    max: float | None = None
    not_worse_than: str | None = None
    """An alias."""
    tolerance: float = 0.0
    """How much worse than the alias's metric it may be."""


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


DEFAULT_N_ITER = 10
"""Candidates of a random search by default."""


def resolve(config: schema.ConfigFile) -> ResolvedConfig:
    """Fill in the defaults of a config file's sections."""
    search, evaluation = None, None
    if not isinstance(config.search, UnsetType):
        search = _convert(config.search, Search)
        if search.method == "random":
            search = msgspec.structs.replace(search, n_iter=search.n_iter or DEFAULT_N_ITER)
    if not isinstance(config.evaluation, UnsetType):
        evaluation = _convert(config.evaluation, EvaluationConfig)
    return ResolvedConfig(
        data=resolve_data(config.data),
        model=_resolve_model(config.model),
        name=_name_of(config),
        description=None if isinstance(config.description, UnsetType) else config.description,
        split=_convert(config.split, SplitConfig),
        search=search,
        evaluation=evaluation,
        gates=resolve_gates(config.gates),
    )


def _name_of(config: schema.ConfigFile) -> str | None:
    """Return the name in a config, or else that of the data set or of the table's file."""
    if not isinstance(config.name, UnsetType):
        return config.name
    if not isinstance(config.data.dataset, UnsetType):
        return config.data.dataset
    return model_name.from_path(str(config.data.path))


def resolve_gates(gates: dict[str, schema.GateSection]) -> dict[str, Gate]:
    """Fill in the defaults of gates."""
    return {name: _convert(gate, Gate) for name, gate in gates.items()}


def resolve_data(section: schema.DataSection) -> DataConfig:
    """Fill in the defaults of the source of the rows."""
    if isinstance(section.path, UnsetType):
        return _convert(section, BundledData)
    data = _convert(section, TableData)
    formats = {
        name: _resolve_format(form, data.csv or Csv()) for name, form in data.formats.items()
    }
    return msgspec.structs.replace(data, formats=formats)


def _resolve_format(form: ColumnFormat, csv: Csv) -> ColumnFormat:
    """Copy the decimal mark of a CSV, since rows to predict may come in another format.

    The loader reports one that is the separator of thousands as well.
    """
    mark = csv.decimal
    if form.kind == "date" or form.decimal or mark in (".", form.thousands):
        return form
    return msgspec.structs.replace(form, decimal=mark)


def _resolve_model(section: schema.ModelSection) -> ModelConfig:
    model = _convert(section, ModelConfig)
    if model.steps is None:
        return msgspec.structs.replace(model, params=model.params or {})
    return msgspec.structs.replace(model, steps=[_resolve_step(step) for step in model.steps])


def _resolve_step(step: Step) -> Step:
    if step.branches is None:
        return msgspec.structs.replace(step, params=step.params or {})
    branches = [_resolve_branch(branch) for branch in step.branches]
    return msgspec.structs.replace(step, branches=branches, remainder=step.remainder or "drop")


def _resolve_branch(branch: Branch) -> Branch:
    if branch.steps is None:
        return msgspec.structs.replace(branch, params=branch.params or {})
    steps = [
        Inner(
            step.estimator,
            step.params or {},
            step.name or step.estimator.rpartition(".")[2].lower(),
        )
        for step in branch.steps
    ]
    return msgspec.structs.replace(branch, steps=steps)


def _convert(section: Struct, resolved: type[Resolved]) -> Resolved:
    """Convert a section to its resolved form, whose defaults replace the keys left out."""
    return msgspec.convert(msgspec.to_builtins(section), resolved)
