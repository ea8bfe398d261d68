"""The third section of a report: what the model looks at."""

from __future__ import annotations

from artifact_pipeline.builder.artifact.diagnostics import ConfidenceInterval
from artifact_pipeline.builder.artifact.digits import decimals_of
from artifact_pipeline.builder.evaluation.importance import reason_without
from artifact_pipeline.builder.metric_table import BY_NAME, figure
from artifact_pipeline.report import blocks, figures
from artifact_pipeline.report.blocks import Drawing, Section, escape
from artifact_pipeline.report.report_data import ReportData

_SHOWN = 20
"""The features and the encoded columns that are shown without unfolding."""


def influences(data: ReportData) -> Section | None:
    """Return the section on what the model looks at; None if that is not known."""
    panels = [_importance(data), _coefficients(data), _weights(data)]
    content = blocks.grid(*filter(None, panels))
    return Section("features", "What does it look at?", content) if any(panels) else None


def _importance(data: ReportData) -> str:
    if data.diagnostics is None:
        return ""
    importance = data.diagnostics.importance
    if importance is None:
        reason = reason_without(
            rows=data.manifest.split.rows.test, features=len(data.manifest.interface.features)
        )
        return blocks.panel(
            "Permutation importance", "", note=f"Permutation importance was not measured. {reason}"
        )
    metric = BY_NAME[importance.metric].title if importance.metric in BY_NAME else importance.metric
    features = sorted(importance.features, key=lambda part: -part.mean)
    low = min([part.mean - part.std for part in features] + [0.0])
    high = max([part.mean + part.std for part in features] + [0.0])
    span = (high - low) or 1.0
    rows: list[list[str | Drawing]] = [
        [
            part.feature,
            Drawing(
                figures.bar(
                    (min(part.mean, 0.0) - low) / span,
                    (max(part.mean, 0.0) - low) / span,
                    mark=(part.mean - low) / span,
                )
            ),
            _with_spread(part.mean, part.std),
        ]
        for part in features
    ]
    note = (
        f"How much {metric} becomes worse when the values of one feature are shuffled among "
        f"{importance.rows:,} held-out rows, over {importance.repeats} repeats. Features that "
        "repeat each other share their importance, so that each may seem to have little."
    )
    image = data.manifest.interface.image
    drawing = ""
    if image is not None and image.pixels == len(importance.features):
        largest = max(abs(part.mean) for part in importance.features)
        pixels = figures.weights(
            [part.mean for part in importance.features],
            image,
            largest=largest,
            label=f"Importance of each pixel, up to {largest:.4f}",
        )
        drawing = f'<ul class="gallery"><li>{pixels}importance of pixels</li></ul>'
    head = ["Feature", "Size", f"Loss of {metric}"]
    return blocks.panel(
        "Permutation importance",
        drawing + _ranked("Features by importance", head, rows=rows),
        note=note,
    )


def _with_spread(mean: float, std: float) -> str:
    """Return a mean and its standard deviation rounded to the precision of the latter."""
    decimals = decimals_of(ConfidenceInterval(mean - std, mean + std))
    decimals = 4 if decimals is None else min(decimals, 6)
    return f"{mean:,.{decimals}f} ± {std:,.{decimals}f}"


def _ranked(caption: str, head: list[str], *, rows: list[list[str | Drawing]]) -> str:
    """Return the first rows of a table, and the others to unfold."""
    first = blocks.table(caption, head, rows=rows[:_SHOWN], kind="ranked")
    others = rows[_SHOWN:]
    if not others:
        return first
    rest = blocks.table(f"{caption}, the others", head, rows=others, kind="ranked")
    return first + blocks.unfold(f"{len(others)} more", rest)


def _coefficients(data: ReportData) -> str:
    weights = None if data.diagnostics is None else data.diagnostics.coefficients
    if weights is None or not weights.listed or data.manifest.interface.image is not None:
        return ""
    names = data.names()
    several = len(weights.listed[0].values) > 1
    largest = max(part.strength for part in weights.listed) or 1.0
    signed = weights.kind == "coefficients" and not several
    rows: list[list[str | Drawing]] = []
    for part in weights.listed:
        size = part.strength / largest
        style = "fill"
        if signed:
            start, end = (0.5, 0.5 + size / 2) if part.values[0] >= 0 else (0.5 - size / 2, 0.5)
            style = "for" if part.values[0] >= 0 else "against"
        else:
            start, end = 0.0, size
        row: list[str | Drawing] = [part.name, Drawing(figures.bar(start, end, style=style))]
        rows.append([*row, *(figure(value) for value in part.values)])
    if weights.kind == "importances":
        title, head = "Importance in the trees", ["Encoded column", "Size", "Importance"]
        note = (
            "The share of the splits' gain, from the training rows. Columns with many values gain "
            "more."
        )
    else:
        title = "Coefficients"
        values = names if several and len(names) == len(weights.listed[0].values) else []
        head = ["Encoded column", "Strength", *(values or ["Coefficient"])]
        note = _note(data, several=several)
    hidden = weights.inputs - len(weights.listed)
    if hidden:
        note += f" {hidden:,} of {weights.inputs:,} columns are weaker, or too rare to be shown."
    table = _ranked(f"{title} of encoded columns", head, rows=rows)
    return blocks.panel(title, table, note=note, width="double" if several else "single")


def _note(data: ReportData, *, several: bool) -> str:
    text = "The drawing is the coefficient times the standard deviation of the column."
    names = data.names()
    if not names:
        return f"A positive coefficient raises the predicted {data.target}. {text}"
    if several:
        return f"A positive coefficient makes the class more likely. {text}"
    return f"A positive coefficient makes {names[-1]} more likely. {text}"


def _weights(data: ReportData) -> str:
    image, weights = data.manifest.interface.image, data.evaluation.weights
    scores = data.evaluation.per_class
    if weights is None or image is None or len(weights.coef) != len(scores):
        return ""
    largest = max(abs(value) for row in weights.coef for value in row)
    items = ""
    for row, part in zip(weights.coef, scores, strict=True):
        label = f"Weights of class {part.name}"
        drawing = figures.weights(row, image, largest=largest, label=label)
        items += f"<li>{drawing}class <strong>{escape(part.name)}</strong></li>"
    return blocks.panel(
        "Weights",
        f'<ul class="gallery">{items}</ul>',
        note="Ink in a blue pixel makes the class more likely, in a red one less likely.",
    )
