"""The scikit-learn estimator itself. Opening a pickle runs what it holds: know where it is from."""

from __future__ import annotations

import io
import pickle
from typing import Any

from artifact_pipeline.builder.model.estimators import strip_process_state
from artifact_pipeline.errors import VerificationError

PROTOCOL = 5
"""Named, so that another Python writes the same bytes."""


def dump(estimator: Any) -> bytes:
    """Return the pickle of a fitted estimator."""
    strip_process_state(estimator)
    return pickle.dumps(estimator, protocol=PROTOCOL)


def load(trusted: bytes, where: str) -> Any:
    """Return the estimator in a pickle whose origin the caller has made sure of.

    Raises:
        VerificationError: if it is cut, or was made by other versions of its packages.
    """
    try:
        return pickle.Unpickler(io.BytesIO(trusted)).load()  # noqa: S301
    except (pickle.UnpicklingError, EOFError, ImportError, AttributeError, ValueError) as error:
        raise VerificationError(f"is no pickle that opens here: {error}", where=where) from error
