"""The proof that an open form is the model: it gives the estimator's outputs on the held-out rows.

A form is sealed only if it does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import UNSET, UnsetType, structs

from artifact_pipeline.artifact.formats.form import (
    BY_NAME,
    Batch,
    Form,
    Outputs,
    Run,
    apart,
    names_of,
)
from artifact_pipeline.artifact.manifest import (
    MODEL_ONNX,
    Column,
    FormName,
    Interface,
    Label,
    Parity,
    Port,
)
from artifact_pipeline.artifact.origin import Origin
from artifact_pipeline.data import Image
from artifact_pipeline.errors import ConfigError, VerificationError
from artifact_pipeline.recipe import Recipe

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from artifact_pipeline.probing import Edge


class Proof(NamedTuple):
    """A parity that held, and the difference that was measured, which CPUs may change."""

    parity: Parity
    measured: float
    edges: tuple[bool, ...] = ()
    """At which of the edges it holds, too."""


def load(
    name: FormName,
    verified: bytes,
    where: str,
    *,
    origin: Origin,
    recipe: Recipe,
    interface: Interface | None = None,
) -> Run:
    """Return an opened model of the form that is called `name`, from bytes that were verified.

    `interface` is what the manifest says of it, None while it is being made.

    Raises:
        UntrustedModel: for a skops archive of unknown origin.
        VerificationError: if it does not load, holds what this reader does not allow, or does
            not fit the interface.
    """
    form = BY_NAME[name]
    if form.file == MODEL_ONNX:
        from artifact_pipeline.artifact.formats import onnx

        return onnx.load(verified, where, interface=interface)
    from artifact_pipeline.artifact.formats import skops

    return skops.load(verified, where, origin=origin, recipe=recipe, interface=interface)


def candidates(estimator: Any, rows: Batch) -> Iterator[tuple[Form, bytes]]:
    """Yield the open forms of a fitted estimator, best first, each made when it is asked for."""
    from artifact_pipeline.artifact.formats import onnx, skops

    yield from onnx.export(estimator, rows)
    yield from skops.export(estimator)


def interface(
    form: Form,
    rows: Batch,
    features: list[str],
    labels: list[Label],
    label_names: list[str],
    found: Outputs,
    image: Image | None,
    columns: list[Column] | UnsetType = UNSET,
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
    return Interface(inputs, outputs, features, labels, label_names, image, columns)


class Edges(NamedTuple):
    """Rows at the edge of what an estimator takes, what each tries, and what it says of them."""

    marks: Sequence[Edge]
    rows: Batch
    outputs: Outputs


def prove(
    candidates: Iterable[tuple[Form, bytes]],
    rows: Batch,
    expected: Outputs,
    where: str,
    edges: Edges | None = None,
    *,
    recipe: Recipe,
) -> tuple[Form, bytes, Proof]:
    """Return the first form that gives the estimator's outputs on the held-out rows.

    The candidates were made by this process or its trainer, by this recipe. At the edges that the
    estimator learned from it must agree, too; the proof says at which of the others it does.
    `where` names the model in errors.

    Raises:
        ConfigError: if none does: a model that cannot be proven is not sealed.
    """
    tried: list[str] = []
    outputs: dict[bytes, list[Outputs] | str] = {}
    for form, data in candidates:
        if data not in outputs:
            outputs[data] = _say(form, data, recipe, [rows, *([edges.rows] if edges else [])])
        found = outputs[data]
        if isinstance(found, str):
            tried.append(found)
            continue
        proof = compare(form, found[0], expected)
        if proof is not None and edges is not None:
            proof = _at_edges(form, proof, found[1], edges, expected)
        if proof is not None:
            return form, data, proof
        tried.append(f"{form.name}: its outputs are not the estimator's")
    why = "; ".join(dict.fromkeys(tried)) or "no converter knows it"
    raise ConfigError(
        f"this estimator has no open form that could be proven equal to it ({why})",
        where=where,
    )


def taken(columns: Sequence[Column], proof: Proof, edges: Edges | None) -> list[Column]:
    """Return columns with what the proven form takes in each."""
    found = list(columns)
    for edge, holds in zip(edges.marks if edges else (), proof.edges, strict=True):
        if holds:
            found[edge.column] = structs.replace(found[edge.column], **{edge.what: True})
    return found


def _say(form: Form, data: bytes, recipe: Recipe, batches: Iterable[Batch]) -> list[Outputs] | str:
    """Return what a form says of rows, or why it does not."""
    try:
        run = load(form.name, data, form.name, origin=Origin.MADE_HERE, recipe=recipe)
        return [run(rows) for rows in batches]
    except VerificationError as error:
        return str(error)[:150]


def _at_edges(
    form: Form, proof: Proof, found: Outputs, edges: Edges, spread_of: Outputs
) -> Proof | None:
    """Return the proof with the edges where it holds, or None if one is not among them."""
    import numpy as np

    expected = edges.outputs
    if expected.predicted.dtype.kind == "f":
        holds = apart(found, expected, spread_of) <= form.bound
    else:
        holds = found.predicted == expected.predicted
        if expected.probabilities is not None and found.probabilities is not None:
            distance = np.abs(found.probabilities - expected.probabilities).max(axis=1)
            holds = (holds | _tied(expected.probabilities, form.bound)) & (distance <= form.bound)
    if any(edge.needed and not one for edge, one in zip(edges.marks, holds, strict=True)):
        return None
    return proof._replace(edges=tuple(bool(one) for one in holds))


def _tied(probabilities: NDArray[Any], bound: float) -> NDArray[Any]:
    """Return where the two best lie within the bound, (n_rows,)."""
    import numpy as np

    best = np.sort(probabilities, axis=1)[:, -2:]
    tied: NDArray[Any] = best[:, 1] - best[:, 0] <= bound
    return tied


def compare(form: Form, found: Outputs, expected: Outputs) -> Proof | None:
    """Return the proof that `found` is what the estimator gave, or None if it is not.

    A label may differ only where the estimator's two best probabilities lie within the bound;
    numbers must lie within it as shares of their spread.
    """
    import numpy as np

    if found.predicted.shape != expected.predicted.shape:
        return None
    if expected.predicted.dtype.kind == "f":
        measured = float(np.max(apart(found, expected)))
        if not measured <= form.bound:  # nor where it is no number
            return None
        return Proof(Parity(form.name, len(expected.predicted), True, form.bound), measured)
    equal = found.predicted == expected.predicted
    if expected.probabilities is None:
        measured, bound = 0.0, 0.0
        holds = bool(equal.all())
    else:
        if found.probabilities is None or (
            found.probabilities.shape != expected.probabilities.shape
        ):
            return None
        measured = float(np.abs(found.probabilities - expected.probabilities).max())
        bound = form.bound
        tied = _tied(expected.probabilities, bound)
        holds = bool((equal | tied).all()) and measured <= bound
    if not holds:
        return None
    parity = Parity(form.name, len(equal), bool(equal.all()), bound)
    return Proof(parity, measured)
