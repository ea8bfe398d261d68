"""The proof that an open form is the model: it gives the estimator's outputs on the held-out rows.

A form is sealed only if it does.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from artifact_pipeline.artifact.formats.form import BY_NAME, Form, Outputs, Run, apart
from artifact_pipeline.artifact.manifest import (
    MODEL_ONNX,
    FormName,
    Interface,
    Label,
    Parity,
    Port,
)
from artifact_pipeline.data import Image
from artifact_pipeline.errors import ConfigError, VerificationError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Proof(NamedTuple):
    """A parity that held, and the difference that was measured, which CPUs may change."""

    parity: Parity
    measured: float


def load(name: FormName, verified: bytes, where: str) -> Run:
    """Return an opened model of the form that is called `name`, from bytes that were verified.

    Raises:
        VerificationError: if it does not load, or holds what this reader does not allow.
    """
    form = BY_NAME[name]
    if form.file == MODEL_ONNX:
        from artifact_pipeline.artifact.formats import onnx

        return onnx.load(verified, form.dtype, where)
    from artifact_pipeline.artifact.formats import skops

    return skops.load(verified, where)


def interface(
    form: Form,
    features: list[str],
    labels: list[Label],
    label_names: list[str],
    gives_probabilities: bool,
    image: Image | None,
) -> Interface:
    """Return the interface of a form: features, labels and image as the data set has them."""
    if labels:
        kind = "int64" if isinstance(labels[0], int) else "string"
        outputs = [Port("label", kind, [None])]
    else:
        outputs = [Port("prediction", form.dtype, [None, 1])]
    if gives_probabilities:
        outputs.append(Port("probabilities", form.dtype, [None, len(labels)]))
    return Interface(
        inputs=[Port("X", form.dtype, [None, len(features)])],
        outputs=outputs,
        features=features,
        labels=labels,
        label_names=label_names,
        image=image,
    )


def prove(
    candidates: Iterable[tuple[Form, bytes]],
    X: NDArray[np.float64],
    expected: Outputs,
    where: str,
) -> tuple[Form, bytes, Proof]:
    """Return the first form that gives the estimator's outputs on the held-out rows X.

    `where` names the model in errors.

    Raises:
        ConfigError: if none does: a model that cannot be proven is not sealed.
    """
    tried = []
    for form, data in candidates:
        try:
            found = load(form.name, data, form.name)(X)
        except VerificationError as error:
            tried.append(str(error)[:150])
            continue
        proof = compare(form, found, expected)
        if proof is not None:
            return form, data, proof
        tried.append(f"{form.name}: its outputs are not the estimator's")
    why = "; ".join(tried) or "no converter knows it"
    raise ConfigError(
        f"this estimator has no open form that could be proven equal to it ({why})",
        where=where,
    )


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
        best = np.sort(expected.probabilities, axis=1)[:, -2:]
        tied = best[:, 1] - best[:, 0] <= bound
        holds = bool((equal | tied).all()) and measured <= bound
    if not holds:
        return None
    parity = Parity(form.name, len(equal), bool(equal.all()), bound)
    return Proof(parity, measured)
