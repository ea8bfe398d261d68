"""The defaults of a config: from the sections of its file to their resolved form.

>>> from artifact_pipeline.builder.config.schema import ConfigFile, DataSection, ModelSection
>>> bayes = ModelSection(estimator="sklearn.naive_bayes.GaussianNB")
>>> config = resolve(ConfigFile(data=DataSection(dataset="iris"), model=bayes))
>>> config.data, config.split.test_size, config.model.params
(BundledData(dataset='iris', examples=100), 0.2, {})
"""

from __future__ import annotations

from typing import TypeVar

import msgspec
from msgspec import Struct, UnsetType

from artifact_pipeline.builder.config import model_name, schema
from artifact_pipeline.builder.config.resolved import (
    Branch,
    BundledData,
    ColumnFormat,
    DataConfig,
    EvaluationConfig,
    Gate,
    Inner,
    ModelConfig,
    ResolvedConfig,
    Search,
    SplitConfig,
    Step,
    TableData,
)
from artifact_pipeline.builder.config.values import Csv

Resolved = TypeVar("Resolved", bound=Struct)

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
    """Return the name in a config, by default that of the data set or of the table's file."""
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
    """Copy the decimal mark of a CSV, because rows to predict may have another file format.

    The loader reports a mark that is also the thousands separator.
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
