"""Rows of runs: the record of each run as one flat struct of checked values.

Records may come from elsewhere, so a value of an unexpected type is left out.
"""

from __future__ import annotations

import json
import math
import ntpath
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from msgspec import Struct

from artifact_pipeline.builder.canonical import DIGEST, Digest
from artifact_pipeline.builder.config import model_name
from artifact_pipeline.builder.metric_table import METRICS
from artifact_pipeline.store.journal import PastRun

"""The alias whose artifact the headline metric of each run is compared with."""
MAX_TEXT = 200
"""Maximum characters of a value in a row."""

Scalar: TypeAlias = bool | int | float | str
_ID_TIME = re.compile(r"(\d{8}T\d{6}\.\d{6})Z-", re.ASCII)


class RunRow(Struct, frozen=True, kw_only=True):
    """One run of a store."""

    run: str
    """Its id, which sorts by time."""
    outcome: str
    """`done`, `gate-missed`, `failed`, or `unreadable` if its record is broken."""
    started: str = ""
    """UTC, in ISO 8601; empty if it is not known."""
    seconds: float = 0.0
    name: str | None = None
    """The name of the model; None if the run failed before it had a recipe."""
    version: int | None = None
    """The version of the artifact, if it has one."""
    digest: Digest | None = None
    """The artifact."""
    cached: bool = False
    """Whether the store already held the artifact, so that nothing was trained."""
    is_champion: bool = False
    """Whether the alias `champion` names the artifact now."""
    estimator: str | None = None
    """The class names of the model's steps."""
    data: str | None = None
    """The bundled data set, or the file name of the table."""
    data_digest: str | None = None
    """The first twelve hex digits of the data's digest."""
    params: dict[str, Scalar | None] = {}
    """Parameters of the estimators; in a pipeline, as `step__parameter`."""
    search: dict[str, Scalar | None] = {}
    """The values that a search tried for each parameter, as JSON."""
    split: dict[str, Scalar | None] = {}
    train: dict[str, float] = {}
    """Metrics on the training rows."""
    test: dict[str, float] = {}
    """Metrics on the held-out rows."""
    cv: dict[str, float] = {}
    """Means over folds of the training rows."""
    metric: str | None = None
    """The headline metric of its task."""
    value: float | None = None
    """The headline metric on the held-out rows."""
    change: float | None = None
    """`value` minus that of the model's champion, if there is one."""
    gates: str | None = None
    """`passed` or `missed`; None without gates."""
    missed: list[str] = []
    """The metrics of the gates that were missed."""
    commit: str | None = None
    dirty: bool | None = None
    """Whether tracked files differed from the commit."""
    config: str = ""
    error: str | None = None
    """Why it failed."""

    def __repr__(self) -> str:
        version = f", {self.name}:{self.version}" if self.name and self.version else ""
        value = f", {self.metric} {self.value:.4f}" if self.value is not None else ""
        return f"RunRow({self.run}, {self.outcome}{version}{value})"


def row_of(record: PastRun) -> RunRow:
    """Return the row of a record, without the comparison with the champion."""
    recipe, metrics = _mapping(record.recipe), _mapping(record.metrics)
    data, model = _mapping(recipe.get("data")), _mapping(recipe.get("model"))
    test = _figures(metrics.get("test"))
    metric = next((entry.name for entry in METRICS if entry.headline and entry.name in test), None)
    verdicts = [_mapping(verdict) for verdict in record.gates]
    missed = [_text(verdict.get("metric")) or "" for verdict in verdicts
              if verdict.get("passed") is not True]  # fmt: skip
    dataset, digest = _text(data.get("dataset")), _text(data.get("digest")) or ""
    return RunRow(
        run=record.run[:MAX_TEXT],
        outcome=record.outcome[:MAX_TEXT],
        started=_started(record),
        seconds=max(0.0, record.seconds) if math.isfinite(record.seconds) else 0.0,
        name=_name(recipe),
        digest=record.artifact if DIGEST.fullmatch(record.artifact or "") else None,
        cached=record.cached,
        estimator=_estimator(model),
        data=dataset or (ntpath.basename(record.data)[-MAX_TEXT:] if record.data else None),
        data_digest=digest[7:19] or None,
        params=_params(model),
        search=_scalars(_mapping(recipe.get("search")).get("params")),
        split=_scalars(recipe.get("split")),
        train=_figures(metrics.get("train")),
        test=test,
        cv=_figures({name: _mapping(spread).get("mean")
                     for name, spread in _mapping(metrics.get("cv")).items()}),
        metric=metric,
        value=None if metric is None else test[metric],
        gates=None if not verdicts else "missed" if missed else "passed",
        missed=missed,
        commit=None if record.git is None else record.git.commit[:MAX_TEXT],
        dirty=None if record.git is None else record.git.dirty,
        config=record.config[-MAX_TEXT:],
        error=_text(_mapping(record.error).get("message")),
    )  # fmt: skip


def _started(record: PastRun) -> str:
    """Return the time in a record, or else in its id."""
    try:
        moment = datetime.fromisoformat(record.started)
        if moment.tzinfo is not None:
            return (moment - (moment.utcoffset() or timedelta())).replace(tzinfo=UTC).isoformat()
    except (ValueError, OverflowError):
        pass
    match = _ID_TIME.match(record.run)
    try:
        return datetime.strptime(match[1], "%Y%m%dT%H%M%S.%f").replace(tzinfo=UTC).isoformat() \
            if match else ""  # fmt: skip
    except ValueError:
        return ""


def _name(recipe: Mapping[str, Any]) -> str | None:
    """Return the name in a recipe; recipes of earlier releases have that of the data."""
    name = _text(recipe.get("name"))
    if name is None:
        data = _mapping(recipe.get("data"))
        columns = _mapping(data.get("schema")).get("columns")
        targets = [
            _text(_mapping(column).get("name"))
            for column in (columns if isinstance(columns, list) else [])
            if _mapping(column).get("role") == "target"
        ]
        title = _text(data.get("dataset")) or ", ".join(filter(None, targets))
        name = model_name.from_text(title) or ("model" if data else None)
    return name if name is not None and model_name.is_valid(name) else None


def _estimator(model: Mapping[str, Any]) -> str | None:
    titles = [
        (_text(step.get("estimator")) or "ColumnTransformer").rpartition(".")[2]
        for step in _steps(model)
    ]
    return " → ".join(titles)[:MAX_TEXT] or None


def _params(model: Mapping[str, Any]) -> dict[str, Scalar | None]:
    """Return the parameters of all estimators of a model, in its order."""
    if not isinstance(model.get("steps"), list):
        return _scalars(model.get("params"))
    params: dict[str, Scalar | None] = {}
    for step in _steps(model):
        params |= _below(step, _scalars(step.get("params")))
        branches = step.get("branches")
        for branch in map(_mapping, branches if isinstance(branches, list) else []):
            for inner in _steps(branch):
                own = _below(inner, _scalars(inner.get("params")))
                params |= _below(step, own if inner is branch else _below(branch, own))
    return params


def _steps(model: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the steps of a model or a branch, or itself if it is one estimator."""
    steps = model.get("steps")
    if isinstance(steps, list):
        return [_mapping(step) for step in steps]
    return [model] if "estimator" in model or "branches" in model else []


def _below(step: Mapping[str, Any], params: Mapping[str, Scalar | None]) -> dict[str, Any]:
    """Return parameters under the name of a step, as scikit-learn writes them."""
    estimator = (_text(step.get("estimator")) or "step").rpartition(".")[2]
    name = _text(step.get("name")) or estimator.lower()
    return {f"{name}__{param}": value for param, value in params.items()}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value[:MAX_TEXT] if isinstance(value, str) else None


def _figures(value: Any) -> dict[str, float]:
    """Return the finite numbers of an object."""
    figures = {}
    for name, number in _mapping(value).items():
        if isinstance(number, (int, float)) and not isinstance(number, bool):
            try:
                figure = float(number)
            except OverflowError:
                continue
            if math.isfinite(figure):
                figures[name[:MAX_TEXT]] = figure
    return figures


def _scalars(value: Any) -> dict[str, Scalar | None]:
    """Return the values of an object, with lists and objects in it as JSON."""
    return {name[:MAX_TEXT]: _scalar(inner) for name, inner in _mapping(value).items()}


def _scalar(value: Any) -> Scalar | None:
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)[:MAX_TEXT]
    if isinstance(value, int) and abs(value) >= 2**63:
        return str(value)[:MAX_TEXT]
    return _text(value) if isinstance(value, str) else value
