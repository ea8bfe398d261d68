"""Predictions as text, and remarks on their rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from artifact_pipeline.builder.escapes import write_out
from artifact_pipeline.builder.metric_table import figure
from artifact_pipeline.cli.layout import counted, short, table, truncated

if TYPE_CHECKING:
    from artifact_pipeline.inference.infer_files import FilePredictions
    from artifact_pipeline.inference.predict import Prediction

SAMPLES = 10
"""The number of held-out rows that `infer` shows."""


def predicted(result: Prediction) -> str:
    """Return a line for each row; for held-out rows, a metric and the first predictions."""
    count = _count(result)
    if result.truth is None:
        if result.predictions is not None:
            return "\n".join(f"{value:.6g}" for value in result.predictions)
        rows = [_prediction(result, row) for row in range(count)]
        return "\n".join(line[2:] for line in table(rows).splitlines())
    name, value = (
        ("accuracy", result.accuracy) if result.labels else ("mean absolute error", result.mae)
    )
    assert value is not None
    rows = [["true", "predicted", *(["probability"] if result.probabilities else [])]]
    for row in range(min(SAMPLES, count)):
        if result.predictions is not None:
            rows.append([_number(result.truth[row]), _number(result.predictions[row])])
        else:
            is_wrong = result.truth[row] != (result.labels or [])[row]
            truth = truncated(write_out(str(result.truth[row])), 24)
            rows.append([truth, *_prediction(result, row), *(["wrong"] if is_wrong else [])])
    columns = table(rows, numbers=0 if result.labels else 2)
    return f"{name} on the {count} held-out rows: {figure(value)}\n\n{columns}"


def remarks(result: Prediction) -> list[str]:
    """Return remarks on columns that the model does not use and texts that are new to it."""
    return _remarks(result.extra, result.unseen)


def file_remarks(result: FilePredictions) -> list[str]:
    """Return remarks on columns and values as `remarks` does, and on rows that were skipped."""
    tally = result.tally
    lines = _remarks(tally.extra, tally.unseen)
    for name, rows in tally.outside.items():
        lines.append(
            f"column {write_out(name)}: {counted(rows, 'row')} with a number outside the "
            "training range"
        )
    if tally.skipped:
        lines.append(f"skipped rows: {tally.skipped}")
        lines += [f"  {write_out(error)}" for error in tally.first_skipped]
        if tally.skipped > len(tally.first_skipped):
            lines.append("  …")
    if result.restarted:
        lines.append(
            "the output could not be continued, so it was written from the start; only a folder "
            "of parts is continued part by part"
        )
    return lines


def _remarks(extra: Sequence[str], unseen: Mapping[str, int]) -> list[str]:
    lines = []
    if extra:
        lines.append(f"ignored columns: {', '.join(map(write_out, extra))}")
    for name, rows in unseen.items():
        lines.append(
            f"column {write_out(name)}: {counted(rows, 'row')} with a text not seen in training"
        )
    return lines


def written(result: Prediction, path: str) -> str:
    """Return how many predictions were written, and which artifact made them."""
    return f"wrote {_count(result)} predictions of {short(result.digest)} to {write_out(path)}"


def written_files(result: FilePredictions) -> str:
    """Return how many predictions were written, to where, and which artifact made them."""
    target = "standard output" if result.output == "-" else write_out(result.output)
    if result.parts > 1:
        target += f" in {result.parts} files"
    return f"wrote {result.tally.rows} predictions of {short(result.digest)} to {target}"


def _count(result: Prediction) -> int:
    return len(result.labels if result.labels is not None else result.predictions or [])


def _prediction(result: Prediction, row: int) -> list[str]:
    label = truncated(write_out(str((result.labels or [])[row])), 40)
    if result.probabilities is None:
        return [label]
    return [label, f"{max(result.probabilities[row]):.4f}"]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else figure(value)
