"""Where a classifier is wrong: confusion, curves, calibration and classes."""

from __future__ import annotations

from statistics import NormalDist

from artifact_pipeline.builder.artifact.diagnostics import (
    ClassProbabilities,
    Curve,
)
from artifact_pipeline.builder.artifact.evaluation import ClassScores
from artifact_pipeline.report import blocks, figures
from artifact_pipeline.report.blocks import Drawing, escape
from artifact_pipeline.report.figures import Axis, Dot, Series
from artifact_pipeline.report.numbers import share
from artifact_pipeline.report.report_data import ReportData

_HIGHLIGHTED = 3
"""Number of coloured curves if there are more than two classes: those with the least area."""


def label_panels(data: ReportData) -> list[str]:
    """Return the panels on wrong labels and on probabilities."""
    return [_confusion(data), *_curves(data), _calibration(data), _histogram(data), _classes(data)]


def _confusion(data: ReportData) -> str:
    evaluation = data.evaluation
    names = [scores.name for scores in evaluation.per_class]
    body = ""
    rows = [(names[i], row, i) for i, row in enumerate(evaluation.confusion)]
    rows += [(f"{row.name} (in no training row)", row.predicted, -1)
             for row in evaluation.unlearned or []]  # fmt: skip
    for name, counts, own in rows:
        total = sum(counts)
        cells = ""
        for j, count in enumerate(counts):
            part = count / total if total else 0.0
            level = 1 + min(3, int(4 * part))
            kind = "zero" if not count else f"h{level}" if j == own else f"m{level}"
            rate = f"<br><small>{part:.0%}</small>" if count else ""
            cells += f'<td class="{kind}">{count:,}{rate}</td>'
        body += (
            f'<tr><th scope="row">{escape(name)}</th>{cells}<td class="total">{total:,}</td></tr>'
        )
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    characters = sum(min(max(map(len, name.split()), default=1), 12) + 4 for name in names)
    width: blocks.Width = "wide" if characters > 80 else "double" if characters > 30 else "single"
    kind = "confusion upright" if width == "wide" else "confusion"
    table = (
        f'<table class="{kind}"><caption>Rows are true classes, columns predicted ones. '
        "Percentages are of the true class.</caption>"
        f'<thead><tr><th scope="col">True</th>{head}<th scope="col">All</th></tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )
    content = blocks.scroll("Confusion table", table)
    right = sum(row[i] for i, row in enumerate(evaluation.confusion))
    wrong = evaluation.rows - right
    note = f"{wrong:,} of {evaluation.rows:,} held-out rows have a wrong label."
    return blocks.panel("Confusion", content, note=note, width=width)


def _curves(data: ReportData) -> list[str]:
    curves = (data.diagnostics and data.diagnostics.curves) or []
    if not curves:
        return []
    names = data.names()
    ranked = sorted(curves, key=lambda curve: (curve.roc_auc, curve.label))
    styles = {
        curve.label: f"s{k}" if len(curves) == 1 or k < _HIGHLIGHTED else "faint"
        for k, curve in enumerate(ranked)
    }
    shown = ranked[::-1]
    roc, precision = [], []
    for curve in shown:
        roc.append(Series(_roc(curve), styles[curve.label]))
        precision.append(Series(_precision(curve), styles[curve.label]))
    decision = _decision(data, curves[0].label) if len(curves) == 1 else None
    points = [] if decision is None else [decision]
    area = [f"{names[c.label]}: area {c.roc_auc:.3f}" for c in ranked[:_HIGHLIGHTED]]
    average = [
        f"{names[c.label]}: average {c.average_precision:.3f}" for c in ranked[:_HIGHLIGHTED]
    ]
    keys = [styles[curve.label] for curve in ranked[:_HIGHLIGHTED]]
    others = [("faint", "other classes")] if len(curves) > _HIGHLIGHTED else []
    mark = [("dot", "the labels that the model gives")] if points else []
    listed = [
        (curve, k)
        for curve in curves
        for k in _some(len(curve.thresholds), 12 if len(curves) > 1 else 25)
    ]
    roc_rows, precision_rows = [], []
    for curve, k in listed:
        true, false = curve.true_positives[k], curve.false_positives[k]
        start = [names[curve.label], f"{curve.thresholds[k]:.4g}", share(true, curve.positives)]
        roc_rows.append([*start, share(false, curve.negatives)])
        precision_rows.append([*start, share(true, true + false)])
    head = ["Class", "Threshold", "Recall"]
    low = ranked[0]
    versus = "" if len(names) == 2 else " Each class is compared with all others."
    known = "Colours mark the classes with the smallest area." if others else ""
    rate = Axis("False positive rate", 0.0, 1.0)
    recall = Axis("Recall (true positive rate)", 0.0, 1.0)
    even = Series([(0.0, 0.0), (1.0, 1.0)], "even")
    prevalence = []
    if len(curves) == 1:
        base = low.positives / (low.positives + low.negatives)
        prevalence = [Series([(0.0, base), (1.0, base)], "even")]
    return [
        blocks.figure_panel(
            "ROC curve",
            figures.chart(
                rate,
                recall,
                lines=[even, *roc],
                dots=[Dot(x=x, y=y, style="dot chosen") for x, y, _ in points],
                label=f"ROC curves; {'; '.join(area)}; numbers below",
            ),
            note=f"The dashed line is chance.{versus} {known}".strip(),
            legend=blocks.legend(*zip(keys, area, strict=True), *others, *mark),
            numbers=blocks.table(
                "Points of the ROC curve", [*head, "False positive rate"], rows=roc_rows
            ),
        ),
        blocks.figure_panel(
            "Precision and recall",
            figures.chart(
                recall,
                Axis("Precision", 0.0, 1.0),
                lines=[*prevalence, *precision],
                dots=[Dot(x=y, y=p, style="dot chosen") for _, y, p in points],
                label=f"Precision by recall; {'; '.join(average)}; numbers below",
            ),
            note=(
                f"The dashed line is the share of the class, {base:.1%}."
                if len(curves) == 1
                else f"The average is over recall.{versus}"
            ),
            legend=blocks.legend(*zip(keys, average, strict=True), *others, *mark),
            numbers=blocks.table(
                "Points of precision and recall", [*head, "Precision"], rows=precision_rows
            ),
        ),
    ]


def _some(count: int, most: int) -> list[int]:
    """Return about evenly spread positions among `count`, with the last one."""
    step = max(1, -(-count // most))
    return sorted({*range(0, count, step), count - 1})


def _roc(curve: Curve) -> list[tuple[float, float]]:
    points = zip(curve.false_positives, curve.true_positives, strict=True)
    return [(0.0, 0.0), *((f / curve.negatives, t / curve.positives) for f, t in points)]


def _precision(curve: Curve) -> list[tuple[float, float]]:
    points = [
        (t / curve.positives, t / (t + f))
        for f, t in zip(curve.false_positives, curve.true_positives, strict=True)
        if t + f
    ]
    return [(0.0, points[0][1]), *points]


def _decision(data: ReportData, label: int) -> tuple[float, float, float] | None:
    """Return false positive rate, recall and precision of the labels that the model predicts.

    None for a class that it never predicts, or that has no rows.
    """
    confusion = data.evaluation.confusion
    hits, own = confusion[label][label], sum(confusion[label])
    claimed = sum(row[label] for row in confusion)
    others = sum(map(sum, confusion)) - own
    if not own or not others or not claimed:
        return None
    return (claimed - hits) / others, hits / own, hits / claimed


def _calibration(data: ReportData) -> str:
    """Return the calibration of the positive class, or of the most probable label of several."""
    parts = (data.diagnostics and data.diagnostics.probabilities) or []
    names = data.names()
    if len(parts) == 1:
        name = names[parts[0].label]
        points = [(group.mean, group.share, group.rows) for group in parts[0].calibration]
        x_title, y_title = f"Mean probability of {name}", f"Share that is {name}"
        what = f"the rows with a probability of 0.8 of {name} should be {name}"
        ranges = [(group.low, group.high) for group in parts[0].calibration]
    elif data.evaluation.calibration:
        points = [(b.confidence, b.accuracy, b.rows) for b in data.evaluation.calibration]
        x_title, y_title = "Probability of the predicted label", "Share that is correct"
        what = "the labels with a probability of 0.8 should be correct"
        ranges = [(b.low, b.high) for b in data.evaluation.calibration]
    else:
        return ""
    most = max(rows for *_, rows in points)
    dots = [
        Dot(x=x, y=y, radius=2.5 + 4.5 * (rows / most) ** 0.5, bar=_wilson(y, rows))
        for x, y, rows in points
    ]
    rows = [
        [f"{low:.1f} to {high:.1f}", f"{n:,}", f"{x:.3f}", f"{y:.3f}",
         " to ".join(f"{end:.3f}" for end in _wilson(y, n))]
        for (low, high), (x, y, n) in zip(ranges, points, strict=True)
    ]  # fmt: skip
    head = ["Probability", "Rows", "Mean probability", "Share", "95% interval"]
    return blocks.figure_panel(
        "Calibration",
        figures.chart(
            Axis(x_title, 0.0, 1.0),
            Axis(y_title, 0.0, 1.0),
            lines=[Series([(0.0, 0.0), (1.0, 1.0)], "even")],
            dots=dots,
            label=f"Calibration in {len(points)} bins of the probability; numbers below",
        ),
        note=f"About 80% of {what}: such points are on the dashed line. Larger points are more "
        "rows; bars are 95% intervals.",
        numbers=blocks.table("Calibration", head, rows=rows),
    )


def _wilson(part: float, rows: int) -> tuple[float, float]:
    """Return the 95% interval of a share (Wilson 1927)."""
    z = NormalDist().inv_cdf(0.975)
    middle = (part + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z / (1 + z * z / rows) * (part * (1 - part) / rows + z * z / (4 * rows * rows)) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)


def _histogram(data: ReportData) -> str:
    """Return the probabilities of the positive class by true class; several are in `_classes`."""
    parts = (data.diagnostics and data.diagnostics.probabilities) or []
    if len(parts) != 1:
        return ""
    [part] = parts
    name = data.names()[part.label]
    own, others = sum(part.of_class), sum(part.of_others)
    bins = len(part.of_class)
    rows = [
        [f"{k / bins:.2f} to {(k + 1) / bins:.2f}", f"{a:,}", f"{b:,}"]
        for k, (a, b) in enumerate(zip(part.of_class, part.of_others, strict=True))
    ]
    other = next(n for k, n in enumerate(data.names()) if k != part.label)
    return blocks.figure_panel(
        "Probabilities by true class",
        figures.bars(
            Axis(f"Probability of {name}", 0.0, 1.0),
            "Share of its rows",
            filled=[count / (others or 1) for count in part.of_others],
            outlined=[count / (own or 1) for count in part.of_class],
            label=f"Histograms of the probability of {name} for rows of each class; numbers below",
        ),
        note="The less the two overlap, the better the model tells the classes apart.",
        legend=blocks.legend(("fill", f"true {other}"), ("s1", f"true {name}")),
        numbers=blocks.table(
            "Rows by probability", ["Probability", f"True {name}", f"True {other}"], rows=rows
        ),
    )


def _classes(data: ReportData) -> str:
    diagnostics = data.diagnostics
    curves = {curve.label: curve for curve in (diagnostics and diagnostics.curves) or []}
    parts = {part.label: part for part in (diagnostics and diagnostics.probabilities) or []}
    many = len(parts) > 1
    rows: list[list[str | Drawing]] = []
    for k, scores in enumerate(data.evaluation.per_class):
        row: list[str | Drawing] = [
            scores.name,
            f"{scores.support:,}",
            _score(scores, "precision"),
            _score(scores, "recall"),
            _score(scores, "f1"),
        ]
        if many:
            curve = curves.get(k)
            row.append("" if curve is None else f"{curve.roc_auc:.3f}")
            row.append("" if curve is None else f"{curve.average_precision:.3f}")
            row.append(_class_spark(parts[k], scores.name) if k in parts else "")
        rows.append(row)
    for unlearned in data.evaluation.unlearned or []:
        zeros = ["0.000"] * 3 + [""] * (3 if many else 0)
        rows.append([f"{unlearned.name} (in no training row)", f"{unlearned.support:,}", *zeros])
    head = ["Class", "Rows", "Precision", "Recall", "F1"]
    head += ["ROC AUC", "Average precision", "Its probability"] if many else []
    note = (
        "The drawing is the probability of the class from 0 to 1: filled for rows of other "
        "classes, outlined for its own."
        if many
        else ""
    )
    table = blocks.table("Held-out rows by true class", head, rows=rows)
    return blocks.panel("By class", table, note=note, width="wide" if many else "single")


def _score(scores: ClassScores, name: str) -> str:
    return f"{getattr(scores, name):.3f}"


def _class_spark(part: ClassProbabilities, name: str) -> Drawing:
    own, others = sum(part.of_class) or 1, sum(part.of_others) or 1
    surely = sum(part.of_class[len(part.of_class) // 2 :]) / own
    return Drawing(
        figures.spark(
            [count / others for count in part.of_others],
            [count / own for count in part.of_class],
            label=f"Probability of {name}: over 0.5 for {surely:.0%} of its own rows",
        )
    )
