"""Columns of text that an estimator first converts to lower case."""

from __future__ import annotations

from typing import Any


def lowercase(estimator: Any) -> tuple[set[int], bool]:
    """Return the columns that an estimator converts to lower case.

    Returns:
        The indices of the columns that only vectorizers with conversion to lower case read, and
        whether no other part of the estimator converts text.
    """
    from artifact_pipeline.builder.model.estimators import parts_of

    branches = _first(estimator)
    lowered: set[int] = set()
    other: set[int] = set()
    accounted: set[int] = set()
    places = getattr(branches, "_transformer_to_input_indices", {})
    for name, transformer, _ in getattr(branches, "transformers_", ()):
        if _is_drop(transformer):
            continue
        firsts = _firsts(transformer)
        for part in firsts:
            (lowered if _lowers(part) else other).update(places.get(name, ()))
        accounted.update(id(part) for part in firsts)
    known = all(id(part) in accounted for part in parts_of(estimator) if _lowers(part))
    return lowered - other, known and lowered.isdisjoint(other)


def _first(part: Any) -> Any:
    while hasattr(part, "steps"):
        part = part.steps[0][1]
    return part


def _firsts(part: Any) -> list[Any]:
    """Return the parts that read the columns of a branch: the first steps, those of a union too."""
    part = _first(part)
    if not hasattr(part, "transformer_list"):
        return [part]
    members = [member for _, member in part.transformer_list]
    return [first for member in members if not _is_drop(member) for first in _firsts(member)]


def _is_drop(transformer: Any) -> bool:
    return isinstance(transformer, str) and transformer == "drop"


def _lowers(part: Any) -> bool:
    from sklearn.feature_extraction.text import CountVectorizer

    return (
        isinstance(part, CountVectorizer)
        and hasattr(part, "vocabulary_")  # otherwise it is an unfitted template
        and part.lowercase
        and part.preprocessor is None
        and isinstance(part.analyzer, str)
    )
