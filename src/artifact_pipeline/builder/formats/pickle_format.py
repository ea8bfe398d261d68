"""The scikit-learn estimator as a pickle. Opening a pickle runs its code."""

from __future__ import annotations

import io
import pickle
from typing import Any

from artifact_pipeline.builder.model.estimators import strip_process_state
from artifact_pipeline.errors import Location, VerificationError

PROTOCOL = 5
"""Fixed, so that all versions of Python write the same bytes."""


def dump(estimator: Any) -> bytes:
    """Return the pickle of a fitted estimator."""
    strip_process_state(estimator)
    return pickle.dumps(estimator, protocol=PROTOCOL)


def load(trusted: bytes, location: Location) -> Any:
    """Return the estimator in a pickle whose origin the caller has verified.

    Raises:
        VerificationError: If it is truncated, or other versions of its packages wrote it.
    """
    try:
        return pickle.Unpickler(io.BytesIO(trusted)).load()  # noqa: S301
    except (pickle.UnpicklingError, EOFError, ImportError, AttributeError, ValueError) as error:
        raise VerificationError(f"cannot be unpickled here: {error}", location=location) from error
