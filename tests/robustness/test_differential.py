"""Generated pipelines and rows: a sealed artifact answers as its estimator, or refuses by name.

`python -m benchmarks.differential SECONDS` does the same for as long as it says.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.differential import compare
from hypothesis import example, given, settings
from hypothesis import strategies as st


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    return Path(tmp_path_factory.mktemp("store"))


@pytest.mark.slow
@settings(max_examples=2)
@given(seed=st.integers(0, 2**32 - 1))
@example(seed=20261158)  # a sigma at the end of a word; no label of the proof showed it
def test_a_sealed_pipeline_answers_as_its_estimator_does(store, seed):
    comparison = compare(seed, store)
    assert not comparison.faults, comparison


@pytest.mark.slow
@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1))
def test_many_sealed_pipelines_answer_as_their_estimators_do(store, seed):
    comparison = compare(seed, store)
    assert not comparison.faults, comparison
