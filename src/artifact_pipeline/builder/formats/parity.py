"""The proof that an open form is the model: it gives the estimator's outputs on the held-out rows
and on edge cases, rows that nobody has seen.

A form is sealed only if it does. Where only rows of a kind that an interface can state differ
(missing here, unseen there), the interface refuses them.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import UNSET, UnsetType, structs

from artifact_pipeline.builder.artifact.manifest import (
    MODEL_ONNX,
    ColumnSpec,
    EdgeCaseCounts,
    FeatureLimits,
    FormName,
    Interface,
    Label,
    Parity,
    Port,
)
from artifact_pipeline.builder.config.messages import show
from artifact_pipeline.builder.data.dataset import Image
from artifact_pipeline.builder.evaluation import edge_answers, edge_cases, edge_columns
from artifact_pipeline.builder.evaluation.edge_columns import Column as EdgeColumn
from artifact_pipeline.builder.evaluation.edge_columns import Flaw
from artifact_pipeline.builder.formats.base import (
    BY_NAME,
    Batch,
    Form,
    Outputs,
    PredictFunction,
    apart,
    names_of,
)
from artifact_pipeline.builder.formats.origin import Origin
from artifact_pipeline.builder.recipe import Recipe
from artifact_pipeline.errors import ConfigError, VerificationError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def load(
    name: FormName,
    verified: bytes,
    where: str,
    *,
    origin: Origin,
    recipe: Recipe,
    interface: Interface | None = None,
) -> PredictFunction:
    """Return an opened model of the form that is called `name`, from bytes that were verified.

    `interface` is what the manifest says of it, None while it is being made.

    Raises:
        UntrustedModel: for a skops archive of unknown origin.
        VerificationError: if it does not load, holds what this reader does not allow, or does
            not fit the interface.
    """
    form = BY_NAME[name]
    if form.file == MODEL_ONNX:
        from artifact_pipeline.builder.formats import onnx_format

        return onnx_format.load(verified, where, interface=interface)
    from artifact_pipeline.builder.formats import skops_format

    return skops_format.load(verified, where, origin=origin, recipe=recipe, interface=interface)


def candidates(estimator: Any, rows: Batch) -> Iterator[Candidate]:
    """Yield the open forms of a fitted estimator, best first, each made when it is asked for."""
    from artifact_pipeline.builder.formats import onnx_format, skops_format

    for form, graph in onnx_format.export(estimator, rows):
        if isinstance(graph, str):
            yield Candidate(form, None, graph)
        else:
            yield Candidate(form, graph.data, scored=graph.scored)
    yield from (Candidate(form, data) for form, data in skops_format.export(estimator))


def interface(
    form: Form,
    rows: Batch,
    features: list[str],
    labels: list[Label],
    label_names: list[str],
    found: Outputs,
    image: Image | None,
    columns: list[ColumnSpec] | UnsetType = UNSET,
    limits: list[FeatureLimits] | UnsetType = UNSET,
) -> Interface:
    """Return the interface of a form: what it takes, as `rows` are, and what it gave of them."""
    dtype = form.dtype
    taken = rows if isinstance(rows, list) else [rows]
    inputs = [
        Port(
            name,
            "string" if one.dtype.kind == "O" else dtype,
            [None, 1 if isinstance(rows, list) else len(features)],
        )
        for name, one in zip(names_of(rows), taken, strict=True)
    ]
    if labels:
        kind = "int64" if isinstance(labels[0], int) else "string"
        outputs = [Port("label", kind, [None])]
    else:
        outputs = [Port("prediction", dtype, [None, 1])]
    if found.probabilities is not None:
        outputs.append(Port("probabilities", dtype, [None, len(labels)]))
    return Interface(inputs, outputs, features, labels, label_names, image, columns, limits)


MAX_LISTED = 4 << 20
"""Characters of the texts that an interface lists for one column."""


class Edges(NamedTuple):
    """Edge cases that the estimator takes, and what it says of them; see `edge_answers.Answers`."""

    rows: Batch
    outputs: Outputs
    kinds: list[str]
    flaws: list[list[Flaw]]
    columns: list[EdgeColumn]
    refused: list[Flaw]
    made: dict[str, int]
    lowercase: list[int]


class Proof(NamedTuple):
    """A parity that held, and the difference that was measured, which CPUs may change."""

    parity: Parity
    measured: float
    outputs: Outputs
    """What the form says of the held-out rows."""
    refused: frozenset[Flaw] = frozenset()
    """What the interface must refuse: the estimator does, or the form says something else."""
    lowercase: tuple[int, ...] = ()
    """The columns whose texts must be in lower case before they enter the graph."""


class Candidate(NamedTuple):
    """A form that may be sealed, or why there is none.

    Attributes:
        scored: The same graph with the output `scores`; see `onnx_format.ExportedGraph`.
    """

    form: Form
    data: bytes | None
    reason: str = ""
    scored: bytes | None = None


def prove(
    candidates: Iterable[Candidate],
    rows: Batch,
    expected: Outputs,
    where: str,
    edges: Edges | None = None,
    *,
    recipe: Recipe,
) -> tuple[Form, bytes, Proof]:
    """Return the first form that gives the estimator's outputs on the held-out rows and on the
    edge cases, but those that an interface can refuse by name.

    The candidates were made by this process or its trainer, by this recipe.
    `where` names the model in errors.

    Raises:
        ConfigError: if none does: a model that cannot be proven is not sealed.
    """
    tried: dict[str, str] = {}
    runs: dict[bytes, _Asked | str] = {}
    for form, data, reason, scored in candidates:
        if data is None:
            tried[form.name] = reason
            continue
        if data not in runs:
            runs[data] = _ask(form, data, scored, rows, edges, recipe)
        asked = runs[data]
        proof = asked if isinstance(asked, str) else _compare(form, asked, expected, edges)
        if isinstance(proof, str):
            tried[form.name] = proof
            continue
        if tried:
            parity = structs.replace(proof.parity, reason=_explain(tried, form))
            proof = proof._replace(parity=parity)
        return form, data, proof
    why = "; ".join(f"{name}: {reason}" for name, reason in tried.items())
    raise ConfigError(
        f"this estimator has no open form that could be proven equal to it "
        f"({why or 'no converter knows it'})",
        where=where,
    )


def _explain(tried: dict[str, str], form: Form) -> str:
    """Return why `form` was sealed and none before it, and what that costs."""
    reasons: dict[str, list[str]] = {}
    for name, reason in tried.items():
        reasons.setdefault(reason, []).append(name)
    why = "; ".join(f"not {' or '.join(names)}: {reason}" for reason, names in reasons.items())
    cost = {"skops": "scikit-learn is needed to predict"}.get(
        form.name, f"probabilities and scores are held to {form.bound:g} only"
    )
    return f"{form.name} was sealed, {why}; {cost}"


class _Asked(NamedTuple):
    """What a form says of the held-out rows and of the edge cases."""

    held_out: Outputs
    edges: _Partial | None


class _Partial(NamedTuple):
    """Outputs of some rows, and of the others the first reason why there are none."""

    places: list[int]
    outputs: Outputs | None
    error: str


def _ask(
    form: Form,
    data: bytes,
    scored: bytes | None,
    rows: Batch,
    edges: Edges | None,
    recipe: Recipe,
) -> _Asked | str:
    """Return what a form says of rows, or why it does not."""
    lowered = lowered_columns(form, edges)
    try:
        run = load(form.name, data, form.name, origin=Origin.MADE_HERE, recipe=recipe)
        if scored is not None:
            scores = load(form.name, scored, form.name, origin=Origin.MADE_HERE, recipe=recipe)
            run = partial(_run_both, run, scores)
        held_out = run(in_lower_case(rows, lowered))
    except VerificationError as error:
        return error.message[:150]
    if edges is None:
        return _Asked(held_out, None)
    return _Asked(held_out, _answers(run, in_lower_case(edges.rows, lowered), len(edges.kinds)))


def _run_both(
    run: PredictFunction, scores: PredictFunction, rows: Batch, seconds: float | None = None
) -> Outputs:
    """Return the outputs of a graph, with the scores of the same graph that gives them."""
    return run(rows, seconds)._replace(scores=scores(rows, seconds).scores)


_CALLS = 2000
"""How often a form is called to find the rows on which it fails; beyond, all that is left fails."""


def _answers(run: PredictFunction, rows: Batch, count: int) -> _Partial:
    """Return what a form says of rows, halving those on which it fails."""
    import numpy as np

    parts: dict[int, tuple[list[int], Outputs]] = {}
    error = ""
    waiting = [list(range(count))] if count else []
    for _ in range(_CALLS):
        if not waiting:
            break
        some = waiting.pop()
        try:
            with warnings.catch_warnings(action="ignore"), np.errstate(all="ignore"):
                parts[some[0]] = some, run(_some(rows, some))
        except VerificationError as failed:
            error = error or failed.message[:150]
            middle = len(some) // 2
            waiting += [some[middle:], some[:middle]] if middle else []
    ordered = [parts[first] for first in sorted(parts)]
    if not ordered:
        return _Partial([], None, error)
    proba = [out.probabilities for _, out in ordered if out.probabilities is not None]
    scores = [out.scores for _, out in ordered if out.scores is not None]
    outputs = Outputs(
        np.concatenate([out.predicted for _, out in ordered]),
        np.concatenate(proba) if proba else None,
        np.concatenate(scores) if scores else None,
    )
    return _Partial([row for some, _ in ordered for row in some], outputs, error)


def _at(outputs: Outputs, index: list[int]) -> Outputs:
    return Outputs(
        outputs.predicted[index],
        None if outputs.probabilities is None else outputs.probabilities[index],
        None if outputs.scores is None else outputs.scores[index],
    )


def _some(rows: Batch, index: list[int]) -> Batch:
    return [column[index] for column in rows] if isinstance(rows, list) else rows[index]


def lowered_columns(form: Form, edges: Edges | None) -> list[int]:
    """Return the columns whose texts must be in lower case before they enter a form.

    onnxruntime maps letter by letter, and so misses the sigma at the end of a word and the dot of
    İ. Labels may hide that on every row of a proof, so a graph never has to do it.
    """
    return edges.lowercase if edges is not None and form.file == MODEL_ONNX else []


def in_lower_case(rows: Batch, columns: Iterable[int]) -> Batch:
    """Return rows of a table whose texts are in lower case in some columns."""
    import numpy as np

    if not isinstance(rows, list):
        return rows
    found = list(rows)
    for index in columns:
        found[index] = np.array([text.lower() for text in rows[index]], dtype=object)
    return found


def _compare(form: Form, asked: _Asked, expected: Outputs, edges: Edges | None) -> Proof | str:
    """Return the proof of a form, or why there is none."""
    proof = compare(form, asked.held_out, expected)
    if proof is None:
        return "it differs from the estimator on the held-out rows"
    if edges is None or asked.edges is None:
        return proof
    refused = _refuse(form, asked.edges, edges, expected)
    if isinstance(refused, str):
        return refused
    kept = [kind for kind, flaws in zip(edges.kinds, edges.flaws, strict=True)
            if refused.isdisjoint(flaws)]  # fmt: skip
    out = {kind: made - kept.count(kind) for kind, made in edges.made.items()}
    battery = EdgeCaseCounts(
        edge_cases.VERSION, edge_cases.SEED, edges.made, {k: n for k, n in out.items() if n}
    )
    return proof._replace(
        lowercase=tuple(lowered_columns(form, edges)),
        refused=frozenset(refused),
        parity=structs.replace(proof.parity, edge_cases=battery),
    )


def _refuse(form: Form, partial: _Partial, edges: Edges, spread_of: Outputs) -> set[Flaw] | str:
    """Return what an interface must refuse so that the form is the estimator on the rest, or why
    it cannot."""
    import numpy as np

    holds = np.zeros(len(edges.kinds), dtype=bool)
    if partial.outputs is not None:
        index = partial.places
        part = _at(edges.outputs, index)
        holds[index] = _agree(form, partial.outputs, part, spread_of)
    refused = set(edges.refused)
    differing = np.flatnonzero(~holds).tolist()
    for row in sorted(differing, key=lambda row: len(edges.flaws[row])):
        flaws = edges.flaws[row]
        if not refused.isdisjoint(flaws):
            continue
        named = [one for one in edge_answers.guilty(flaws) if _may_refuse(one, edges)]
        if not named:
            said = partial.error if row not in set(partial.places) else "it gives another answer"
            return f"{said}, for one of the {edges.kinds[row]}"
        refused = edge_answers.with_outer([*refused, *named], edges.columns)
    return refused


def _may_refuse(flaw: Flaw, edges: Edges) -> bool:
    """Return whether rows may be refused for what the estimator takes."""
    column = edges.columns[flaw.column]
    if flaw.kind in column.needed:
        return False
    if flaw.kind == "unseen":
        return column.texts is not None
    if flaw.kind == "other":
        numbers = column.numbers or []
        return 0 < len(numbers) <= edge_columns.FEW and all(one == int(one) for one in numbers)
    return flaw.kind == "missing" or flaw.level > 0


def _agree(form: Form, found: Outputs, expected: Outputs, spread_of: Outputs) -> NDArray[Any]:
    """Return the rows, (n_rows,), on which a form gives the estimator's outputs."""
    import numpy as np

    holds: NDArray[Any]
    if expected.predicted.dtype.kind == "f":
        spread = float(np.ptp(spread_of.predicted)) or 1.0
        with np.errstate(all="ignore"):
            distance = np.abs(found.predicted - expected.predicted)
            holds = distance <= form.bound * np.maximum(spread, np.abs(expected.predicted))
        return holds
    holds = (found.predicted == expected.predicted) & _scores_agree(
        form, found, expected, spread_of
    )
    if expected.probabilities is None:
        return holds
    if found.probabilities is None or found.probabilities.shape != expected.probabilities.shape:
        return np.zeros(len(holds), dtype=bool)
    with np.errstate(all="ignore"):
        distance = np.abs(found.probabilities - expected.probabilities).max(axis=1)
        within: NDArray[Any] = holds & (distance <= form.bound)
    return within


def _scores_agree(
    form: Form, found: Outputs, expected: Outputs, spread_of: Outputs
) -> NDArray[Any]:
    """Return the rows, (n_rows,), on which scores lie within the bound, as shares of their spread.

    Scores that are unknown, or are something else than the estimator's, are not compared.
    """
    import numpy as np

    count = len(expected.predicted)
    all_rows: NDArray[Any] = np.ones(count, dtype=bool)
    if found.scores is None or expected.scores is None or spread_of.scores is None:
        return all_rows
    with np.errstate(all="ignore"):
        size = np.abs(expected.scores).reshape(count, -1).max(axis=1)
        spread = float(np.ptp(spread_of.scores)) or 1.0
        near = [
            (scores == expected.scores)
            | (np.abs(scores - expected.scores)
               <= form.bound * np.maximum(spread, size).reshape(count, *[1] * (scores.ndim - 1)))
            for scores in _readings(found.scores, expected.scores)
        ]  # fmt: skip
    rows = [part.reshape(count, -1).all(axis=1) for part in near]
    return max(rows, key=np.count_nonzero, default=all_rows)


def _readings(scores: NDArray[Any], expected: NDArray[Any]) -> list[NDArray[Any]]:
    """Return what the scores of a graph may mean, each in the shape of the decision function.

    skl2onnx gives the score of the second of two classes as one column, or as the first or the
    second of two; and those of OneVsRestClassifier as shares of their sum.
    """
    if expected.ndim == 1:
        return [*scores.reshape(len(expected), -1).T]
    if scores.shape != expected.shape:
        return []
    return [scores, scores * expected.sum(axis=1, keepdims=True)]


def taken(columns: Sequence[ColumnSpec], proof: Proof, edges: Edges | None) -> list[ColumnSpec]:
    """Return columns with what the interface refuses in each.

    Raises:
        ConfigError: if a column has too many values to list those that are taken.
    """
    found = list(columns)
    if edges is None:
        return found
    for index, known in enumerate(edges.columns):
        kinds = {flaw.kind for flaw in proof.refused if flaw.column == index}
        limits = _limits(index, proof, edges)
        column = structs.replace(
            found[index],
            nullable="missing" not in kinds,
            unseen=known.kind == "text" and "unseen" not in kinds,
            numbers=limits.numbers if known.kind != "boolean" else UNSET,
            range=limits.range,
            lowercase=True if index in proof.lowercase else UNSET,
        )
        if "unseen" in kinds:
            if known.texts is None or sum(map(len, known.texts)) > MAX_LISTED:
                raise ConfigError(
                    f"the column {show(column.name)} has too many texts to list, and the model "
                    'refuses others; give its encoder handle_unknown="ignore"',
                    where="model",
                )
            column = structs.replace(column, categories=known.texts)
        found[index] = column
    return found


def limits(proof: Proof, edges: Edges | None) -> list[FeatureLimits] | UnsetType:
    """Return what the features of a matrix take, if not every finite number."""
    if edges is None:
        return UNSET
    found = [_limits(index, proof, edges) for index in range(len(edges.columns))]
    return found if any(one != FeatureLimits() for one in found) else UNSET


def _limits(index: int, proof: Proof, edges: Edges) -> FeatureLimits:
    column = edges.columns[index]
    least = {"below": -math.inf, "above": math.inf}
    numbers: list[float] | UnsetType = UNSET
    for flaw in proof.refused:
        if flaw.column != index:
            continue
        if flaw.kind == "other" and column.numbers is not None:
            numbers = column.numbers
        if flaw.kind in least:
            bound = getattr(column, flaw.kind)[flaw.level]
            inner = max if flaw.kind == "below" else min
            least[flaw.kind] = inner(least[flaw.kind], bound)
    low, high = least["below"], least["above"]
    if numbers is not UNSET or (low, high) == (-math.inf, math.inf):
        return FeatureLimits(numbers)
    most = sys.float_info.max
    return FeatureLimits(numbers, (max(low, -most), min(high, most)))


def compare(form: Form, found: Outputs, expected: Outputs) -> Proof | None:
    """Return the proof that `found` is what the estimator gave, or None if it is not.

    Labels must be equal, probabilities within the bound, and numbers as shares of their spread.
    """
    import numpy as np

    if found.predicted.shape != expected.predicted.shape:
        return None
    rows = len(expected.predicted)
    if expected.predicted.dtype.kind == "f":
        measured = float(np.max(apart(found, expected)))
        if not measured <= form.bound:  # nor where it is no number
            return None
        return Proof(Parity(form.name, rows, True, form.bound), measured, found)
    if not (found.predicted == expected.predicted).all():
        return None
    if not _scores_agree(form, found, expected, expected).all():
        return None
    if expected.probabilities is None:
        return Proof(Parity(form.name, rows, True, 0.0), 0.0, found)
    if found.probabilities is None or found.probabilities.shape != expected.probabilities.shape:
        return None
    measured = float(np.abs(found.probabilities - expected.probabilities).max())
    if not measured <= form.bound:
        return None
    return Proof(Parity(form.name, rows, True, form.bound), measured, found)
