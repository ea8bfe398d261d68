"""Comparing artifacts: their recipes, their metrics, and their predictions row by row."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct

from artifact_pipeline.builder.artifact import describe
from artifact_pipeline.builder.artifact.manifest import Manifest, Slice
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.builder.metric_table import BY_NAME, figure, title
from artifact_pipeline.errors import (
    CallError,
    DataError,
    Location,
    StoreError,
    UntrustedModel,
    VerificationError,
)
from artifact_pipeline.pipeline.pair_comparison import (
    LEVEL,
    PairComparison,
    compare_labels,
    compare_numbers,
)
from artifact_pipeline.pipeline.paired_tests import Interval, bootstrap, interval
from artifact_pipeline.pipeline.recipe_differences import RecipeDifference, differences
from artifact_pipeline.store.access import check_integrity, open_trusted
from artifact_pipeline.store.references import ArtifactLike, PathLike
from artifact_pipeline.store.store import Store

if TYPE_CHECKING:
    from artifact_pipeline.pipeline.held_out_outputs import HeldOutOutputs
    from artifact_pipeline.verification.verify import Verified

MAX_ARTIFACTS = 5
"""As many as fit into 80 columns."""
LETTERS = "abcde"
"""The names of the artifacts in sentences, in order."""
_TIMINGS = 5
_TIMING_SECONDS = 0.5
"""Seconds after which a model is not timed again, even if `_TIMINGS` is not reached."""


class ComparedArtifact(Struct, frozen=True, kw_only=True):
    """One of the artifacts."""

    letter: str
    """Its name in sentences: `a` is the first."""
    reference: str
    """The reference that the caller passed."""
    digest: Digest
    name: str
    """The name of its model."""
    version: int | None
    """None if it is not a version in the store."""
    title: str
    model_file: str
    model_bytes: int
    """The size of the file that predictions are made with."""
    microseconds_per_row: float | None = None
    """Measured here on all held-out rows at once, the best of a few; None if it was not opened."""

    @property
    def label(self) -> str:
        """Return `NAME:VERSION`, or the digest of an artifact without a version."""
        return f"{self.name}:{self.version}" if self.version else self.digest[7:19]


class MetricComparison(Struct, frozen=True, kw_only=True):
    """A metric on the held-out rows, for each artifact in order."""

    metric: str
    values: list[float | None]
    """As sealed; None where it was not measured."""
    best: str | None
    """The letter of the artifact with the best value; None if the best two are equal, or if the
    artifacts were measured on different rows."""
    intervals: list[Interval | None]
    """The 95% bootstrap interval of the difference from `a`, where rows were compared."""


class SliceComparison(Struct, frozen=True, kw_only=True):
    """The metrics of a slice of the held-out rows that all artifacts have."""

    name: str
    rows: int
    metrics: list[MetricComparison]


class Comparison(Struct, frozen=True, kw_only=True):
    """The differences between artifacts. All others are compared with the first one, `a`."""

    artifacts: list[ComparedArtifact]
    rows: int
    """The number of held-out rows of `a`."""
    is_same_rows: bool
    """Whether all were measured on the same rows; no value is called better otherwise."""
    recipe: list[RecipeDifference]
    """What differs in the recipes, the likeliest cause first."""
    metrics: list[MetricComparison]
    slices: list[SliceComparison]
    pairs: list[PairComparison]
    """Each other artifact beside `a`."""

    def __repr__(self) -> str:
        names = ", ".join(artifact.label for artifact in self.artifacts)
        verdicts = "; ".join(pair.verdict.partition(":")[0].rstrip(".") for pair in self.pairs)
        return f"Comparison({names}: {verdicts})"

    def _repr_html_(self) -> str:
        from artifact_pipeline.inference.notebook import grid, section

        letters = [artifact.letter for artifact in self.artifacts]
        names = [
            [artifact.letter, artifact.title, artifact.label, artifact.digest[7:19]]
            for artifact in self.artifacts
        ]
        recipe = [
            [f"{row.part}: {row.field}", *(shown(value) for value in row.values)]
            for row in self.recipe
        ]
        metrics = [
            [title(row.metric), *(_figure(value) for value in row.values), row.best or ""]
            for row in self.metrics
        ]
        return section(
            "Comparison",
            grid(["", "model", "version", "digest"], names),
            grid(["what differs", *letters], recipe),
            grid(["held-out rows", *letters, "better"], metrics),
            texts=[pair.verdict for pair in self.pairs],
        )


def compare(
    a: ArtifactLike,
    b: ArtifactLike,
    *others: ArtifactLike,
    store: PathLike | None = None,
    data: PathLike | None = None,
) -> Comparison:
    """Compare the recipes, metrics and predictions of artifacts.

    Metrics are the sealed ones. If possible, both models predict the held-out rows again, and a
    paired test decides whether they differ by more than chance: McNemar's test for labels, a
    bootstrap of the mean absolute error for numbers (`pipeline.paired_tests`). If the rows differ,
    the data is gone, or a model may not be opened, the verdict gives the reason.

    Args:
        a: As for `check_integrity`.
        b: Another artifact.
        others: More artifacts, each compared with `a`.
        store: The store that references are looked up in.
        data: Where the table is now; by default where the runs that made the artifacts found it.

    Raises:
        ArtifactNotFound, VerificationError: As `check_integrity`, or if a model does not load.
        CallError: If there are more than five artifacts, or some predict labels and some numbers.
    """
    references = (a, b, *others)
    if len(references) > MAX_ARTIFACTS:
        raise CallError(
            f"found {len(references)} artifacts, expected at most {MAX_ARTIFACTS}",
            location=Location("compare"),
        )
    from artifact_pipeline.pipeline.held_out_outputs import other_rows

    opened = [_verify(reference, store=store) for reference in references]
    manifests = [verified.manifest for verified, _ in opened]
    _check_tasks(manifests)
    reports = [verified.evaluation() for verified, _ in opened]
    outcomes = _predict(opened, store=store, data=data)
    seconds = _time([outcome.outputs for outcome in outcomes])
    tests = [_test_pair(outcomes, index, manifests=manifests) for index in range(1, len(outcomes))]
    is_same_rows = not any(other_rows(manifests[0], other) for other in manifests[1:])
    return Comparison(
        artifacts=[
            ComparedArtifact(
                letter=LETTERS[index],
                reference=str(references[index]),
                digest=verified.digest,
                name=(name := describe.model_name_of(verified.manifest.recipe)),
                version=_version(name, verified.digest, store=store),
                title=describe.headline(verified.manifest.recipe),
                model_file=verified.model_file,
                model_bytes=_size(verified),
                microseconds_per_row=_microseconds_per_row(outcomes[index], seconds[index]),
            )
            for index, (verified, _) in enumerate(opened)
        ],
        rows=manifests[0].split.rows.test,
        is_same_rows=is_same_rows,
        recipe=differences(
            [manifest.recipe for manifest in manifests], [report.chosen() for report in reports]
        ),
        metrics=_metrics(
            [manifest.metrics.test for manifest in manifests],
            intervals=[{}, *(test.intervals for test in tests)],
            is_same_rows=is_same_rows,
        ),
        slices=_slices(manifests, is_same_rows=is_same_rows),
        pairs=[test.comparison for test in tests],
    )


def shown(value: Any) -> str:
    """Return a value of a recipe in readable form."""
    import json

    if value is None:
        return "absent"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    is_digest = text.startswith("sha256:") and len(text) == 71
    return text[7:19] if is_digest else text.removeprefix("sklearn.")


def _check_tasks(manifests: Sequence[Manifest]) -> None:
    targets = [manifest.recipe.data.schema.target for manifest in manifests]
    for letter, target in zip(LETTERS, targets, strict=False):
        if target != targets[0]:
            outputs = {"class": "labels", "number": "numbers"}
            raise CallError(
                f"a predicts {outputs[targets[0]]} and {letter} predicts {outputs[target]}",
                location=Location("compare"),
                remedy="compare artifacts of the same task",
            )


def _size(verified: Verified) -> int:
    name = verified.model_file
    [size] = [file.bytes for file in verified.manifest.files if file.path == name]
    return size


def _version(name: str, digest: Digest, *, store: PathLike | None) -> int | None:
    """Return the version of an artifact; None if the store has none, or a damaged history."""
    try:
        return Store(store).models.history(name).numbers.get(digest)
    except StoreError:
        return None


class _Opened(NamedTuple):
    """A verified artifact, and why its model may not be opened, if it may not."""

    verified: Verified
    problem: str | None


class _Measured(NamedTuple):
    """An artifact's outputs for the held-out rows of the first one, or why there are none."""

    digest: Digest
    outputs: HeldOutOutputs | None = None
    problem: str | None = None
    """A clause about the artifact, such as `was trained on other data`."""


class _PairTest(NamedTuple):
    """The comparison of a pair, and the interval of the difference of each metric."""

    comparison: PairComparison
    intervals: Mapping[str, Interval | None]


def _verify(reference: ArtifactLike, *, store: PathLike | None) -> _Opened:
    """Verify an artifact; without a required signature, it is compared but not opened."""
    try:
        return _Opened(open_trusted(reference, store=store), None)
    except VerificationError as error:
        return _Opened(check_integrity(reference, store=store), f"was not opened ({error})")


def _predict(
    opened: Sequence[_Opened], *, store: PathLike | None, data: PathLike | None
) -> list[_Measured]:
    """Predict the held-out rows of the first artifact with it and all that have the same rows."""
    from artifact_pipeline.pipeline.held_out_outputs import why_unpaired

    first = opened[0].verified
    outcomes = [
        _Measured(verified.digest, problem=why_unpaired(first.manifest, verified.manifest))
        for verified, _ in opened
    ]
    paired = [
        index
        for index, outcome in enumerate(outcomes)
        if outcome.problem is None and outcome.digest != first.digest
    ]
    if paired:
        outcomes[0] = _outcome(opened[0], like=None, store=store, data=data)
        if (like := outcomes[0].outputs) is not None:
            for index in paired:
                outcomes[index] = _outcome(opened[index], like=like, store=store, data=data)
    return outcomes


def _outcome(
    opened: _Opened,
    *,
    like: HeldOutOutputs | None,
    store: PathLike | None,
    data: PathLike | None,
) -> _Measured:
    from artifact_pipeline.inference.predictor import load_predictor
    from artifact_pipeline.pipeline.held_out_outputs import predict_held_out

    verified, problem = opened
    if problem is not None:
        return _Measured(verified.digest, problem=problem)
    if verified.manifest.recipe.brought is not None:
        problem = "was fitted elsewhere, and the rows that measured it were not kept"
        return _Measured(verified.digest, problem=problem)
    try:
        predictor = load_predictor(verified)
        outputs = predict_held_out(predictor, like=like, data=data, store=store)
    except UntrustedModel as error:
        return _Measured(verified.digest, problem=f"was not opened ({error})")
    except DataError as error:
        return _Measured(verified.digest, problem=f"has no rows to predict ({error})")
    return _Measured(verified.digest, outputs=outputs)


def _time(outputs: Sequence[HeldOutOutputs | None]) -> list[float]:
    """Return the least seconds that each artifact takes for its held-out rows, in turns."""
    best = [math.inf for _ in outputs]
    begin = time.perf_counter()
    for _ in range(_TIMINGS):
        for index, output in enumerate(outputs):
            if output is not None:
                start = time.perf_counter()
                output.predictor.run(output.rows)
                best[index] = min(best[index], time.perf_counter() - start)
        if time.perf_counter() - begin > _TIMING_SECONDS:
            break
    return best


def _microseconds_per_row(outcome: _Measured, seconds: float) -> float | None:
    if outcome.outputs is None:
        return None
    return 1e6 * seconds / len(outcome.outputs.indices)


def _test_pair(
    outcomes: Sequence[_Measured], index: int, *, manifests: Sequence[Manifest]
) -> _PairTest:
    """Test the first artifact against another one."""
    letter = LETTERS[index]
    first, second = outcomes[0], outcomes[index]
    if first.digest == second.digest:
        verdict = f"a and {letter} are the same artifact."
        return _PairTest(PairComparison(letter=letter, verdict=verdict), {})
    if first.outputs is None or second.outputs is None:
        who, problem = (letter, second.problem) if second.problem else ("a", first.problem)
        verdict = f"There is no paired test: {who} {problem}."
        return _PairTest(PairComparison(letter=letter, verdict=verdict), {})
    rows = first.outputs.predicted, second.outputs.predicted
    names = [
        name
        for name in manifests[0].metrics.test
        if name in manifests[index].metrics.test and name in BY_NAME
    ]
    intervals = {
        name: interval(values, LEVEL) for name, values in bootstrap(*rows, names=names).items()
    }
    if rows[0].target == "number":
        return _PairTest(compare_numbers(*rows, letter=letter, mae=intervals["mae"]), intervals)
    shown = min(manifest.recipe.data.examples or 0 for manifest in (manifests[0], manifests[index]))
    comparison = compare_labels(*rows, letter=letter, indices=first.outputs.indices, shown=shown)
    return _PairTest(comparison, intervals)


def _metrics(
    metrics: Sequence[Mapping[str, float]],
    *,
    intervals: Sequence[Mapping[str, Interval | None]],
    is_same_rows: bool,
) -> list[MetricComparison]:
    names = [name for name in BY_NAME if any(name in measured for measured in metrics)]
    return [
        MetricComparison(
            metric=name,
            values=(values := [measured.get(name) for measured in metrics]),
            best=(
                _best(values, lower_is_better=BY_NAME[name].lower_is_better)
                if is_same_rows
                else None
            ),
            intervals=[known.get(name) for known in intervals],
        )
        for name in names
    ]


def _best(values: Sequence[float | None], *, lower_is_better: bool) -> str | None:
    """Return the letter of the best value; None if several are equal, or there is only one."""
    known = sorted((value for value in values if value is not None), reverse=not lower_is_better)
    if len(known) < 2 or known[0] == known[1]:
        return None
    return LETTERS[values.index(known[0])]


def _slices(manifests: Sequence[Manifest], *, is_same_rows: bool) -> list[SliceComparison]:
    """Return the slices that all recipes define in the same way."""
    definitions = [
        {} if (config := manifest.recipe.evaluation) is None else config.slices or {}
        for manifest in manifests
    ]
    slices: list[dict[str, Slice]] = [manifest.metrics.slices or {} for manifest in manifests]
    return [
        SliceComparison(
            name=name,
            rows=slices[0][name].rows,
            metrics=_metrics(
                [measured[name].metrics for measured in slices],
                intervals=[{} for _ in slices],
                is_same_rows=is_same_rows,
            ),
        )
        for name, definition in definitions[0].items()
        if all(defined.get(name) == definition for defined in definitions)
        and all(name in measured for measured in slices)
    ]


def _figure(value: float | None) -> str:
    return "" if value is None else figure(value)
