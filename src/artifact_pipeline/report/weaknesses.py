"""The second section of a report: where the model is wrong."""

from __future__ import annotations

from artifact_pipeline.builder.artifact.digits import between, justified
from artifact_pipeline.builder.artifact.evaluation import Example
from artifact_pipeline.builder.config.values import Value
from artifact_pipeline.builder.data.dataset import Image
from artifact_pipeline.builder.metric_table import BY_NAME, heading
from artifact_pipeline.report import blocks, figures
from artifact_pipeline.report.blocks import Drawing, Section, escape
from artifact_pipeline.report.label_errors import label_panels
from artifact_pipeline.report.number_errors import number_panels
from artifact_pipeline.report.report_data import ReportData

SMALL_SLICE = 30
"""Slices with fewer rows are marked: their metrics vary too much to act on."""


def weaknesses(data: ReportData) -> Section:
    """Return the section on where the model is wrong."""
    parts = number_panels(data) if not data.manifest.interface.labels else label_panels(data)
    panels = [*parts, _slices(data), _mistakes(data)]
    return Section("errors", "Where is it wrong?", blocks.grid(*filter(None, panels)))


def _slices(data: ReportData) -> str:
    slices = data.manifest.metrics.slices or {}
    if not slices:
        return ""
    metric = data.headline
    intervals = (data.diagnostics and data.diagnostics.slices) or {}
    values = [part.metrics[metric] for part in slices.values() if metric in part.metrics]
    ends = [end for interval in intervals.values() for end in (interval.low, interval.high)]
    whole = data.manifest.metrics.test[metric]
    low, high = min([*values, *ends, whole]), max([*values, *ends, whole])
    low, high = (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)
    span = (high - low) or 1.0
    names = [name for name in BY_NAME if any(name in part.metrics for part in slices.values())]
    names = [name for name in names if name != metric]
    rows: list[list[str | Drawing]] = []
    for name, part in slices.items():
        value, interval = part.metrics.get(metric), intervals.get(name)
        drawing: str | Drawing = ""
        if value is not None:
            a, b = (value, value) if interval is None else (interval.low, interval.high)
            drawing = Drawing(
                figures.bar((a - low) / span, (b - low) / span, mark=(value - low) / span)
            )
        small = f" (small: under {SMALL_SLICE})" if part.rows < SMALL_SLICE else ""
        rows.append(
            [
                name,
                f"{part.rows:,}{small}",
                drawing,
                "" if value is None else justified(value, interval),
                between(interval),
                *(
                    ""
                    if key not in part.metrics
                    else justified(part.metrics[key], data.interval(key))
                    for key in names
                ),
            ]
        )
    everywhere = data.interval(metric)
    a, b = (whole, whole) if everywhere is None else (everywhere.low, everywhere.high)
    mark = figures.bar((a - low) / span, (b - low) / span, mark=(whole - low) / span)
    rows.insert(
        0,
        [
            "all held-out rows",
            f"{data.manifest.split.rows.test:,}",
            Drawing(mark),
            justified(whole, everywhere),
            between(everywhere),
            *(
                justified(data.manifest.metrics.test[key], data.interval(key))
                if key in data.manifest.metrics.test
                else ""
                for key in names
            ),
        ],
    )
    head = ["Slice", "Rows", f"{low:.3g} to {high:.3g}", heading(metric), "95% interval"]
    table = blocks.table(
        "Held-out rows, by slice", [*head, *map(heading, names)], rows=rows, kind="slices"
    )
    note = "A slice whose interval includes the value of all rows may not differ from them at all."
    return blocks.panel("Slices", table, note=note, width="wide")


def _mistakes(data: ReportData) -> str:
    evaluation, manifest = data.evaluation, data.manifest
    if not evaluation.examples:
        text = "No held-out rows are shown. Set data.examples in the config to show some."
        return blocks.panel("Single rows", "", note=text, width="wide")
    if not manifest.interface.labels:
        head = ["Row", f"True {data.target}", "Predicted"]
        worst = [
            [f"{row.row:,}", blocks.number(float(row.truth)), blocks.number(float(row.label))]
            for row in evaluation.examples[:10]
        ]
        return blocks.panel(
            "The largest errors", blocks.table("The ten largest errors", head, rows=worst)
        )
    wrong = [example for example in evaluation.examples if example.truth != example.label]
    if not wrong:
        text = "All held-out rows in the artifact were predicted correctly."
        return blocks.panel("Mistakes", "", note=text)
    names: dict[Value, str] = {scores.label: scores.name for scores in evaluation.per_class}
    names |= {unlearned.label: unlearned.name for unlearned in evaluation.unlearned or []}
    image = manifest.interface.image
    if image is not None:
        items = "".join(_mistake(row, image, names=names) for row in wrong)
        return blocks.panel(
            f"Mistakes: {len(wrong)}", f'<ul class="gallery">{items}</ul>', width="wide"
        )
    head = ["Row", "True", "Predicted", "Probability"]
    rows = [
        [f"{row.row:,}", str(names.get(row.truth, row.truth)),
         str(names.get(row.label, row.label)),
         f"{max(row.probabilities):.3f}" if row.probabilities else ""]
        for row in wrong
    ]  # fmt: skip
    table = blocks.table("Held-out rows with a wrong label", head, rows=rows)
    return blocks.panel(f"Mistakes: {len(wrong)}", table)


def _mistake(row: Example, image: Image, *, names: dict[Value, str]) -> str:
    truth, label = (str(names.get(value, value)) for value in (row.truth, row.label))
    probability = f" ({max(row.probabilities):.2f})" if row.probabilities else ""
    image_of_row = figures.pixels(
        [float(value or 0) for value in row.values],
        image,
        label=f"Row {row.row}, true class {truth}",
    )
    return (
        f"<li>{image_of_row}true <strong>{escape(truth)}</strong><br>"
        f"predicted <strong>{escape(label)}</strong>{probability}<br>"
        f'<span class="soft">row {row.row}</span></li>'
    )
