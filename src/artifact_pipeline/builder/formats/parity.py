"""The proof that an open form predicts as the estimator.

A form is sealed only if it gives the estimator's outputs on the held-out rows and on edge cases.
If only rows differ that an interface can describe (with a missing value, an unseen text, or a
number far beyond the known ones), the interface refuses such rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import structs

from artifact_pipeline.builder.artifact.manifest import (
    MODEL_ONNX,
    EdgeCaseCounts,
    Parity,
)
from artifact_pipeline.builder.evaluation import edge_answers, edge_cases
from artifact_pipeline.builder.evaluation.edge_columns import Column as EdgeColumn
from artifact_pipeline.builder.evaluation.edge_columns import Flaw
from artifact_pipeline.builder.formats.base import (
    Batch,
    Form,
    Outputs,
    PredictFunction,
    apart,
)
from artifact_pipeline.builder.formats.loader import load
from artifact_pipeline.builder.formats.origin import Origin
from artifact_pipeline.builder.recipe import Recipe
from artifact_pipeline.errors import ConfigError, Location, VerificationError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def candidates(estimator: Any, rows: Batch) -> Iterator[Candidate]:
    """Yield the open forms of a fitted estimator, best first, each made on demand."""
    from artifact_pipeline.builder.formats import onnx_export, skops_format

    for form, graph in onnx_export.export(estimator, rows):
        if isinstance(graph, str):
            yield Candidate(form=form, data=None, reason=graph)
        else:
            yield Candidate(form=form, data=graph.data, scored=graph.scored)
    yield from (Candidate(form=form, data=data) for form, data in skops_format.export(estimator))


class Edges(NamedTuple):
    """Edge cases that the estimator takes, and its outputs; see `edge_answers.Answers`."""

    rows: Batch
    outputs: Outputs
    kinds: list[str]
    flaws: list[list[Flaw]]
    columns: list[EdgeColumn]
    refused: list[Flaw]
    counts: dict[str, int]
    lowercase: list[int]


class Proof(NamedTuple):
    """A parity that held.

    Attributes:
        measured: The largest difference from the estimator, which may vary with the CPU.
        outputs: The outputs of the form for the held-out rows.
        refused: The flaws that the interface must refuse, because the estimator refuses them or
            the outputs of the form differ.
        lowercase: The columns whose texts must be converted to lower case before the graph.
    """

    parity: Parity
    measured: float
    outputs: Outputs
    refused: frozenset[Flaw] = frozenset()
    lowercase: tuple[int, ...] = ()


class Candidate(NamedTuple):
    """A form that may be sealed, or the reason why there is none.

    Attributes:
        scored: The same graph with the output `scores`; see `onnx_export.ExportedGraph`.
    """

    form: Form
    data: bytes | None
    reason: str = ""
    scored: bytes | None = None


def prove(
    candidates: Iterable[Candidate],
    rows: Batch,
    *,
    expected: Outputs,
    edges: Edges | None = None,
    location: Location,
    recipe: Recipe,
) -> tuple[Form, bytes, Proof]:
    """Return the first form that gives the estimator's outputs, its bytes and the proof.

    Args:
        candidates: Forms that this process or its trainer made, best first.
        rows: The held-out rows.
        expected: The estimator's outputs for them.
        edges: The edge cases; the form may differ only on those that an interface can refuse.
        location: The model's location in errors.

    Raises:
        ConfigError: If there is none; an unproven model is not sealed.
    """
    reasons: dict[str, str] = {}
    runs: dict[bytes, _Answers | str] = {}
    for candidate in candidates:
        form, data = candidate.form, candidate.data
        if data is None:
            reasons[form.name] = candidate.reason
            continue
        if data not in runs:
            runs[data] = _run(candidate, rows, edges=edges, recipe=recipe)
        answers = runs[data]
        proof = (
            answers
            if isinstance(answers, str)
            else _compare(form, answers, expected=expected, edges=edges)
        )
        if isinstance(proof, str):
            reasons[form.name] = proof
            continue
        if reasons.keys() - {form.name}:
            parity = structs.replace(proof.parity, reason=_explain(reasons, form))
            proof = proof._replace(parity=parity)
        return form, data, proof
    why = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    raise ConfigError(
        f"this estimator has no open form that could be proven equal to it "
        f"({why or 'no converter supports it'})",
        location=location,
        remedy="choose another estimator or other preprocessing; LightGBM and XGBoost are "
        "supported as the last step of a pipeline, and not in every other estimator",
    )


def _explain(reasons: dict[str, str], form: Form) -> str:
    """Return why no form before `form` was sealed, and the consequences."""
    forms: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        if name != form.name:  # another graph of the same form
            forms.setdefault(reason, []).append(name)
    why = "; ".join(f"not {' or '.join(names)}: {reason}" for reason, names in forms.items())
    cost = {"skops": "scikit-learn is needed to predict"}.get(
        form.name, f"probabilities and scores are held to {form.bound:g} only"
    )
    return f"{form.name} was sealed, {why}; {cost}"


class _PartialOutputs(NamedTuple):
    """The outputs for some rows, and the first reason why there are none for the others."""

    places: list[int]
    outputs: Outputs | None
    error: str


class _Answers(NamedTuple):
    """The outputs of a form for the held-out rows and for the edge cases."""

    held_out: Outputs
    edges: _PartialOutputs | None


def _run(
    candidate: Candidate, rows: Batch, *, edges: Edges | None, recipe: Recipe
) -> _Answers | str:
    """Return the outputs of a form, or the reason why there are none."""
    form = candidate.form
    lowered = lowered_columns(form, edges)

    def opened(data: bytes) -> PredictFunction:
        return load(
            form.name, data, location=Location(form.name), origin=Origin.MADE_HERE, recipe=recipe
        )

    assert candidate.data is not None
    try:
        predict = opened(candidate.data)
        if candidate.scored is not None:
            predict = _with_scores(predict, opened(candidate.scored))
        held_out = predict(in_lower_case(rows, lowered))
    except VerificationError as error:
        return error.message[:150]
    if edges is None:
        return _Answers(held_out, None)
    edge_rows = in_lower_case(edges.rows, lowered)
    return _Answers(held_out, _partial_outputs(predict, edge_rows, count=len(edges.kinds)))


def _with_scores(predict: PredictFunction, score: PredictFunction) -> PredictFunction:
    """Return the outputs of a graph, with the scores of the same graph that gives them."""

    def run(rows: Batch, *, seconds: float | None = None) -> Outputs:
        return predict(rows, seconds=seconds)._replace(scores=score(rows, seconds=seconds).scores)

    return run


_CALLS = 2000
"""Maximum calls to find the rows on which a form fails; the remaining rows count as failed."""


def _partial_outputs(predict: PredictFunction, rows: Batch, *, count: int) -> _PartialOutputs:
    """Return the outputs of a form for rows, halving those on which it fails."""
    import numpy as np

    parts: dict[int, tuple[list[int], Outputs]] = {}
    error = ""
    batch = edge_answers.BATCH
    waiting = [list(range(start, min(start + batch, count))) for start in range(0, count, batch)]
    for _ in range(_CALLS):
        if not waiting:
            break
        places = waiting.pop()
        try:
            with warnings.catch_warnings(action="ignore"), np.errstate(all="ignore"):
                parts[places[0]] = places, predict(_some(rows, places))
        except VerificationError as failure:
            error = error or failure.message[:150]
            middle = len(places) // 2
            waiting += [places[middle:], places[:middle]] if middle else []
    ordered = [parts[first] for first in sorted(parts)]
    if not ordered:
        return _PartialOutputs([], None, error)
    proba = [part.probabilities for _, part in ordered if part.probabilities is not None]
    scores = [part.scores for _, part in ordered if part.scores is not None]
    outputs = Outputs(
        np.concatenate([part.predicted for _, part in ordered]),
        np.concatenate(proba) if proba else None,
        np.concatenate(scores) if scores else None,
    )
    return _PartialOutputs([row for places, _ in ordered for row in places], outputs, error)


def _at(outputs: Outputs, index: list[int]) -> Outputs:
    return Outputs(
        outputs.predicted[index],
        None if outputs.probabilities is None else outputs.probabilities[index],
        None if outputs.scores is None else outputs.scores[index],
    )


def _some(rows: Batch, index: list[int]) -> Batch:
    return [column[index] for column in rows] if isinstance(rows, list) else rows[index]


def lowered_columns(form: Form, edges: Edges | None) -> list[int]:
    """Return the columns whose texts must be converted to lower case before a form.

    onnxruntime maps letter by letter, and so misses the sigma at the end of a word and the dot of
    İ. The labels of all rows in a proof may still agree, so no graph converts text.
    """
    return edges.lowercase if edges is not None and form.file == MODEL_ONNX else []


def in_lower_case(rows: Batch, columns: Iterable[int]) -> Batch:
    """Return rows with the texts of some columns in lower case."""
    import numpy as np

    if not isinstance(rows, list):
        return rows
    lowered = list(rows)
    for index in columns:
        lowered[index] = np.array([text.lower() for text in rows[index]], dtype=object)
    return lowered


def _compare(
    form: Form, answers: _Answers, *, expected: Outputs, edges: Edges | None
) -> Proof | str:
    """Return the proof of a form, or the reason why there is none."""
    proof = compare(form, answers.held_out, expected=expected)
    if proof is None:
        return "it differs from the estimator on the held-out rows"
    if edges is None or answers.edges is None:
        return proof
    refused = _refuse(form, answers.edges, edges=edges, spread_of=expected)
    if isinstance(refused, str):
        return refused
    kept = [kind for kind, flaws in zip(edges.kinds, edges.flaws, strict=True)
            if refused.isdisjoint(flaws)]  # fmt: skip
    lost = {kind: count - kept.count(kind) for kind, count in edges.counts.items()}
    counts = EdgeCaseCounts(
        version=edge_cases.VERSION,
        seed=edge_cases.SEED,
        rows=edges.counts,
        refused={kind: count for kind, count in lost.items() if count},
    )
    return proof._replace(
        lowercase=tuple(lowered_columns(form, edges)),
        refused=frozenset(refused),
        parity=structs.replace(proof.parity, edge_cases=counts),
    )


def _refuse(
    form: Form, partial: _PartialOutputs, *, edges: Edges, spread_of: Outputs
) -> set[Flaw] | str:
    """Return the flaws that an interface must refuse so that the form agrees on all other rows, or
    the reason why that is impossible."""
    import numpy as np

    holds = np.zeros(len(edges.kinds), dtype=bool)
    if partial.outputs is not None:
        expected = _at(edges.outputs, partial.places)
        holds[partial.places] = _agree(
            form, partial.outputs, expected=expected, spread_of=spread_of
        )
    refused = set(edges.refused)
    differing = np.flatnonzero(~holds).tolist()
    for row in sorted(differing, key=lambda row: len(edges.flaws[row])):
        flaws = edges.flaws[row]
        if not refused.isdisjoint(flaws):
            continue
        named = [
            flaw
            for flaw in edge_answers.guilty(flaws)
            if edge_answers.may_refuse(flaw, edges.columns[flaw.column])
        ]
        if not named:
            failed = row not in set(partial.places)
            reason = partial.error if failed else "it gives another prediction"
            return f"{reason}, for one of the {edges.kinds[row]}"
        refused = edge_answers.with_outer([*refused, *named], edges.columns)
    return refused


def _agree(form: Form, outputs: Outputs, *, expected: Outputs, spread_of: Outputs) -> NDArray[Any]:
    """Return on which rows, (n_rows,), a form gives the estimator's outputs."""
    import numpy as np

    holds: NDArray[Any]
    if expected.predicted.dtype.kind == "f":
        spread = float(np.ptp(spread_of.predicted)) or 1.0
        with np.errstate(all="ignore"):
            distance = np.abs(outputs.predicted - expected.predicted)
            holds = distance <= form.bound * np.maximum(spread, np.abs(expected.predicted))
        holds |= np.isnan(outputs.predicted) & np.isnan(expected.predicted)
        return holds
    holds = (outputs.predicted == expected.predicted) & _scores_agree(
        form, outputs, expected=expected, spread_of=spread_of
    )
    if expected.probabilities is None:
        return holds
    if outputs.probabilities is None or outputs.probabilities.shape != expected.probabilities.shape:
        return np.zeros(len(holds), dtype=bool)
    with np.errstate(all="ignore"):
        distance = np.abs(outputs.probabilities - expected.probabilities)
    neither = np.isnan(outputs.probabilities) & np.isnan(expected.probabilities)
    within: NDArray[Any] = holds & ((distance <= form.bound) | neither).all(axis=1)
    return within


def _scores_agree(
    form: Form, outputs: Outputs, *, expected: Outputs, spread_of: Outputs
) -> NDArray[Any]:
    """Return on which rows, (n_rows,), scores are within the bound, as shares of their spread.

    Scores in another shape than the estimator's are not compared.
    """
    import numpy as np

    count = len(expected.predicted)
    all_rows: NDArray[Any] = np.ones(count, dtype=bool)
    if outputs.scores is None or expected.scores is None or spread_of.scores is None:
        return all_rows
    with np.errstate(all="ignore"):
        size = np.abs(expected.scores).reshape(count, -1).max(axis=1)
        spread = float(np.ptp(spread_of.scores)) or 1.0
        near = [
            (scores == expected.scores)
            | (np.abs(scores - expected.scores)
               <= form.bound * np.maximum(spread, size).reshape(count, *[1] * (scores.ndim - 1)))
            for scores in _readings(outputs.scores, expected.scores)
        ]  # fmt: skip
    rows = [part.reshape(count, -1).all(axis=1) for part in near]
    return max(rows, key=np.count_nonzero, default=all_rows)


def _readings(scores: NDArray[Any], expected: NDArray[Any]) -> list[NDArray[Any]]:
    """Return the ways to read the scores of a graph, in the shape of the decision function.

    skl2onnx gives the score of two classes as one column, or as the first or second of two, and
    the scores of OneVsRestClassifier as shares of their sum.
    """
    if expected.ndim == 1:
        return [*scores.reshape(len(expected), -1).T]
    if scores.shape != expected.shape:
        return []
    return [scores, scores * expected.sum(axis=1, keepdims=True)]


def compare(form: Form, outputs: Outputs, *, expected: Outputs) -> Proof | None:
    """Return the proof that outputs are the estimator's, or None if they differ.

    Labels must be equal, probabilities within the bound of the form, and numbers and scores within
    it as shares of their spread.

    Args:
        form: The form.
        outputs: The outputs of the form.
        expected: The outputs of the estimator for the same rows.
    """
    import numpy as np

    if outputs.predicted.shape != expected.predicted.shape:
        return None
    parity = Parity(
        form=form.name, rows=len(expected.predicted), labels_equal=True, bound=form.bound
    )
    if expected.predicted.dtype.kind == "f":
        measured = float(np.max(apart(outputs, expected)))
        if not measured <= form.bound:  # true for NaN too
            return None
        return Proof(parity=parity, measured=measured, outputs=outputs)
    if not (outputs.predicted == expected.predicted).all():
        return None
    if not _scores_agree(form, outputs, expected=expected, spread_of=expected).all():
        return None
    if expected.probabilities is None:
        return Proof(parity=structs.replace(parity, bound=0.0), measured=0.0, outputs=outputs)
    if outputs.probabilities is None or outputs.probabilities.shape != expected.probabilities.shape:
        return None
    measured = float(np.abs(outputs.probabilities - expected.probabilities).max())
    if not measured <= form.bound:
        return None
    return Proof(parity=parity, measured=measured, outputs=outputs)
