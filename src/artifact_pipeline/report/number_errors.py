"""Where a regressor is wrong: its residuals and their distribution."""

from __future__ import annotations

from statistics import NormalDist

from artifact_pipeline.builder.artifact.diagnostics import (
    RESIDUAL_SHARES,
    Histogram,
    Residuals,
)
from artifact_pipeline.builder.artifact.evaluation import QUANTILES
from artifact_pipeline.report import blocks, figures
from artifact_pipeline.report.figures import Axis, Dot, Series
from artifact_pipeline.report.numbers import rounded
from artifact_pipeline.report.report_data import ReportData


def number_panels(data: ReportData) -> list[str]:
    """Return the panels on the errors of predicted numbers."""
    residuals = None if data.diagnostics is None else data.diagnostics.residuals
    if residuals is None:
        return [_error_quantiles(data)]
    return [*_densities(data, residuals), *_residuals(data, residuals), _error_quantiles(data)]


def _densities(data: ReportData, residuals: Residuals) -> list[str]:
    target, rows = data.target, data.evaluation.rows
    panels = []
    for title, density, axes, even, note in (
        (
            "Predicted by true",
            residuals.predicted_by_true,
            (f"True {target}", f"Predicted {target}"),
            "diagonal",
            "Rows on the dashed line are predicted exactly.",
        ),
        (
            "Residual by predicted",
            residuals.residual_by_predicted,
            (f"Predicted {target}", "Predicted minus true"),
            "zero",
            "A good model has no pattern here: rows above the line are predicted too high.",
        ),
    ):
        beyond = f" {density.outside:,} are outside the plot." if density.outside else ""
        cells = [
            (count, k, i)
            for i, row in enumerate(density.counts)
            for k, count in enumerate(row)
            if count
        ]
        cells.sort(key=lambda cell: -cell[0])
        width = (density.x_high - density.x_low) / len(density.counts[0])
        height = (density.y_high - density.y_low) / len(density.counts)
        table = [
            [
                _range(density.x_low + k * width, width, low=density.x_low, high=density.x_high),
                _range(density.y_low + i * height, height, low=density.y_low, high=density.y_high),
                f"{count:,}",
            ]
            for count, k, i in cells[:30]
        ]
        panels.append(
            blocks.figure_panel(
                title,
                figures.density(
                    density,
                    x_title=axes[0],
                    y_title=axes[1],
                    even=even,
                    label=f"{title}: {rows:,} held-out rows in bins; the fullest are listed below",
                ),
                note=f"{note} Darker is more of the {rows:,} held-out rows.{beyond}",
                numbers=blocks.table(
                    f"The fullest bins of {title.lower()}", [*axes, "Rows"], rows=table
                ),
            )
        )
    return panels


def _range(start: float, width: float, *, low: float, high: float) -> str:
    return f"{rounded(start, low=low, high=high)} to {rounded(start + width, low=low, high=high)}"


def _residuals(data: ReportData, residuals: Residuals) -> list[str]:
    bins: Histogram = residuals.histogram
    total = sum(bins.counts) or 1
    width = (bins.high - bins.low) / len(bins.counts)
    rows = [
        [_range(bins.low + k * width, width, low=bins.low, high=bins.high), f"{count:,}"]
        for k, count in enumerate(bins.counts)
    ]
    beyond = f" {bins.outside:,} rows are outside the plot." if bins.outside else ""
    normal = [NormalDist().inv_cdf(part) for part in RESIDUAL_SHARES]
    values = residuals.quantiles
    # The quartile line, as in R's qqline.
    q1, q3 = (_between(normal, values, at=NormalDist().inv_cdf(part)) for part in (0.25, 0.75))
    slope = (q3 - q1) / (NormalDist().inv_cdf(0.75) - NormalDist().inv_cdf(0.25))
    middle = (q1 + q3) / 2
    line = [(x, middle + slope * x) for x in (normal[0], normal[-1])]
    low, high = min(*values, *(y for _, y in line)), max(*values, *(y for _, y in line))
    margin = (high - low) * 0.05 or 1.0
    quantiles = [
        [f"{part:.1%}", rounded(value, low=low, high=high), f"{x:.2f}"]
        for part, value, x in zip(RESIDUAL_SHARES, values, normal, strict=True)
    ]
    unit = data.unit
    return [
        blocks.figure_panel(
            "Residuals",
            figures.bars(
                Axis(f"Predicted minus true{unit and ',' + unit}", bins.low, bins.high),
                "Share of the rows",
                filled=[count / total for count in bins.counts],
                label=f"Histogram of predicted minus true of {total:,} rows; numbers below",
            ),
            note=f"Left of 0 predictions are too low, right of it too high.{beyond}",
            numbers=blocks.table("Rows by residual", ["Residual", "Rows"], rows=rows),
        ),
        blocks.figure_panel(
            "Residuals against a normal distribution",
            figures.chart(
                Axis("Quantile of a normal distribution", normal[0] - 0.2, normal[-1] + 0.2),
                Axis("Predicted minus true", low - margin, high + margin),
                lines=[Series(line, "even")],
                dots=[Dot(x=x, y=y) for x, y in zip(normal, values, strict=True)],
                label="Quantiles of the residuals by those of a normal distribution; numbers below",
            ),
            note="Points that leave the dashed line at its ends show that large errors are "
            "more frequent than normal.",
            numbers=blocks.table(
                "Quantiles", ["Share of the rows", "Residual", "Normal"], rows=quantiles
            ),
        ),
    ]


def _between(x: list[float], y: list[float], *, at: float) -> float:
    """Interpolate between points with rising x."""
    k = next(k for k in range(1, len(x)) if x[k] >= at)
    part = (at - x[k - 1]) / (x[k] - x[k - 1])
    return y[k - 1] + part * (y[k] - y[k - 1])


def _error_quantiles(data: ReportData) -> str:
    errors = data.evaluation.errors if isinstance(data.evaluation.errors, list) else []
    if not errors:
        return ""
    low, high = min(errors), max(errors)
    rows = [
        [f"{part:.0%}", rounded(error, low=low, high=high)]
        for part, error in zip(QUANTILES, errors, strict=True)
    ]
    head = ["Share of the rows", f"Predicted minus true, at most{data.unit and ',' + data.unit}"]
    return blocks.panel("Errors", blocks.table("Errors on the held-out rows", head, rows=rows))
