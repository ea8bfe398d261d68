"""The report: a self-contained HTML file.

It has no scripts, makes no requests, and has one style sheet, allowed by its hash. All text is
escaped.
"""

from __future__ import annotations

import json

from msgspec import structs

from artifact_pipeline.builder.artifact import describe
from artifact_pipeline.builder.artifact.evaluation import QUANTILES, EvaluationReport, Example
from artifact_pipeline.builder.artifact.manifest import Manifest, Metrics
from artifact_pipeline.builder.config.values import Value
from artifact_pipeline.builder.data.dataset import Image
from artifact_pipeline.builder.metric_table import BY_NAME, figure, heading, headline_metrics
from artifact_pipeline.report import blocks, figures
from artifact_pipeline.report.blocks import escape
from artifact_pipeline.verification.verify import Verified

CANDIDATES = 20
"""The number of a search's candidates that are shown."""


def write(artifact: Verified, *, examples: bool = True) -> str:
    """Return the report of a verified artifact as HTML; the same artifact gives the same text.

    Args:
        artifact: The artifact.
        examples: Whether to show held-out rows.

    Raises:
        VerificationError: If its evaluation is invalid.
    """
    style = blocks.style()
    manifest, evaluation = artifact.manifest, artifact.evaluation()
    if not examples:
        evaluation = structs.replace(evaluation, examples=[])
    title = describe.headline(manifest.recipe)
    policy = (
        f"default-src 'none'; style-src {blocks.hashes(style)}; base-uri 'none'; form-action 'none'"
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
{_head(manifest)}
{_warnings(evaluation)}
{_metrics(manifest)}
{_search(evaluation)}
{_classification(evaluation, manifest) if manifest.interface.labels else _regression(evaluation)}
{_weights(evaluation, manifest)}
{_recipe(manifest, evaluation)}
{_checks(artifact)}
</main>
</body>
</html>
"""


def _head(manifest: Manifest) -> str:
    test, train = manifest.metrics.test, manifest.metrics.train or {}
    first, second = headline_metrics(manifest.recipe.data.schema.target)
    cards = [
        (f"Held-out {first.title}", test.get(first.name)),
        (f"Held-out {second.title}", test.get(second.name)),
        (f"Training {first.title}", train.get(first.name)),
    ]
    items = "".join(
        f"<li><strong>{figure(value)}</strong> {name}</li>"
        for name, value in cards
        if value is not None
    )
    text = manifest.recipe.description
    description = "" if text is None else f"<p>{escape(text)}</p>\n"
    return (
        f'{description}<p class="soft">{manifest.interface.target()}, '
        f"{len(manifest.interface.features)} features, {manifest.split.summary()}."
        f'</p>\n<ul class="cards">{items}</ul>'
    )


def _metrics(manifest: Manifest) -> str:
    metrics = manifest.metrics
    train, test, cv = metrics.train or {}, metrics.test, metrics.cv or {}
    head = ["Metric", "Training rows", "Held-out rows"]
    if cv:
        head.append(f"Over {max(len(spread.folds) for spread in cv.values())} folds")
    rows = []
    for name in dict.fromkeys([*BY_NAME, *test, *train]):
        if name in train or name in test:
            row = [
                heading(name),
                blocks.number(train.get(name)),
                blocks.number(test.get(name)),
            ]
            spread = f"{figure(cv[name].mean)} ± {figure(cv[name].std)}" if name in cv else ""
            rows.append([*row, spread] if cv else row)
    table = blocks.table("Metrics", head, rows=rows)
    return blocks.section("Metrics", table + _slices(metrics))


def _slices(metrics: Metrics) -> str:
    slices = metrics.slices or {}
    if not slices:
        return ""
    names = [name for name in BY_NAME if any(name in part.metrics for part in slices.values())]
    rows = [
        [name, str(part.rows), *(blocks.number(part.metrics.get(metric)) for metric in names)]
        for name, part in slices.items()
    ]
    head = ["Slice", "Rows", *(heading(name) for name in names)]
    return blocks.table("Held-out rows, by slice", head, rows=rows)


def _warnings(evaluation: EvaluationReport) -> str:
    if not evaluation.leaks:
        return ""
    items = "".join(f"<li>{escape(leak)}</li>" for leak in evaluation.leaks)
    return blocks.section("Likely leaks", f"<ul>{items}</ul>")


def _search(evaluation: EvaluationReport) -> str:
    if evaluation.search is None:
        return ""
    best = sorted(evaluation.search.candidates, key=lambda candidate: candidate.rank)
    rows = [
        [
            str(candidate.rank),
            json.dumps(candidate.params),
            f"{figure(candidate.mean)} ± {figure(candidate.std)}",
        ]
        for candidate in best[:CANDIDATES]
    ]
    text = f"<p>{len(best)} candidates were tried; the best one was refitted and sealed.</p>"
    head = ["Rank", "Settings", evaluation.search.scoring]
    table = blocks.table(
        "Candidates, by mean score over folds of the training rows", head, rows=rows
    )
    return blocks.section("Search", text + table)


def _classification(evaluation: EvaluationReport, manifest: Manifest) -> str:
    parts = (
        _classes(evaluation),
        _confusion(evaluation),
        _mistakes(evaluation, manifest),
        _calibration(evaluation),
    )
    return "\n".join(parts)


def _regression(evaluation: EvaluationReport) -> str:
    errors = evaluation.errors if isinstance(evaluation.errors, list) else []
    head = ["Share of the rows", "Predicted minus true, at most"]
    rows = [[f"{share:.0%}", blocks.number(e)] for share, e in zip(QUANTILES, errors, strict=True)]
    table = blocks.table("Errors on the held-out rows", head, rows=rows)
    examples = [(float(row.truth), float(row.label)) for row in evaluation.examples]
    text = (
        "<p>Points on the dashed line are predicted exactly. The plot shows the held-out rows in "
        "the artifact, which are those with the largest errors.</p>"
    )
    head = ["Row", "True", "Predicted"]
    worst = [
        [str(row.row), blocks.number(float(row.truth)), blocks.number(float(row.label))]
        for row in evaluation.examples[:10]
    ]
    far = blocks.table("The ten largest errors", head, rows=worst)
    return blocks.section("Errors", text + figures.scatter(examples) + table + far)


def _classes(evaluation: EvaluationReport) -> str:
    rows = [
        [
            scores.name,
            blocks.number(scores.precision),
            blocks.number(scores.recall),
            blocks.number(scores.f1),
            str(scores.support),
        ]
        for scores in evaluation.per_class
    ]
    zero = blocks.number(0.0)
    rows += [
        [f"{unlearned.name} (in no training row)", zero, zero, zero, str(unlearned.support)]
        for unlearned in evaluation.unlearned or []
    ]
    head = ["Class", "Precision", "Recall", "F1", "Rows"]
    return blocks.section("By class", blocks.table("Held-out rows by true class", head, rows=rows))


def _confusion(evaluation: EvaluationReport) -> str:
    names = [scores.name for scores in evaluation.per_class]
    most = max((max(row, default=0) for row in evaluation.confusion), default=0) or 1
    body = []
    for i, row in enumerate(evaluation.confusion):
        cells = []
        for j, count in enumerate(row):
            heat = f"h{1 + min(3, 4 * count // (most + 1))}" if i == j and count else ""
            kind = heat or ("miss" if count else "")
            cells.append(f'<td class="{kind}">{count}</td>')
        body.append(f'<tr><th scope="row">{escape(names[i])}</th>{"".join(cells)}</tr>')
    for unlearned in evaluation.unlearned or []:
        cells = [f'<td class="{"miss" if n else ""}">{n}</td>' for n in unlearned.predicted]
        body.append(f'<tr><th scope="row">{escape(unlearned.name)}</th>{"".join(cells)}</tr>')
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    table = (
        "<table><caption>Rows: true class. Columns: predicted class.</caption>"
        f'<thead><tr><th scope="col">True</th>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table>"
    )
    return blocks.section("Confusion", blocks.scroll("Confusion table", table))


def _mistakes(evaluation: EvaluationReport, manifest: Manifest) -> str:
    wrong = [example for example in evaluation.examples if example.truth != example.label]
    if not evaluation.examples:
        return blocks.section("Mistakes", "<p>No held-out rows are shown.</p>")
    if not wrong:
        return blocks.section(
            "Mistakes", "<p>All held-out rows in the artifact were predicted correctly.</p>"
        )
    names: dict[Value, str] = {scores.label: scores.name for scores in evaluation.per_class}
    names |= {unlearned.label: unlearned.name for unlearned in evaluation.unlearned or []}
    image = manifest.interface.image
    if image is not None:
        items = "".join(_mistake(row, image, names=names) for row in wrong)
        return blocks.section(f"Mistakes: {len(wrong)}", f'<ul class="gallery">{items}</ul>')
    head = ["Row", "True", "Predicted", "Probability"]
    rows = [
        [str(row.row), str(names.get(row.truth, row.truth)), str(names.get(row.label, row.label)),
         blocks.number(max(row.probabilities) if row.probabilities else None)]
        for row in wrong
    ]  # fmt: skip
    table = blocks.table("Held-out rows with a wrong label", head, rows=rows)
    return blocks.section(f"Mistakes: {len(wrong)}", table)


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


def _calibration(evaluation: EvaluationReport) -> str:
    if not evaluation.calibration:
        return ""
    head = ["Probability", "Rows", "Mean probability", "Share correct"]
    rows = [
        [f"{part.low:.1f} to {part.high:.1f}", str(part.rows), blocks.number(part.confidence),
         blocks.number(part.accuracy)]
        for part in evaluation.calibration
    ]  # fmt: skip
    text = (
        "<p>About 80% of the labels with a probability of 0.8 should be correct: such points are "
        "on the dashed line. Larger points stand for more rows.</p>"
    )
    table = blocks.table("The most probable label by probability", head, rows=rows)
    return blocks.section("Calibration", text + figures.calibration(evaluation.calibration) + table)


def _weights(evaluation: EvaluationReport, manifest: Manifest) -> str:
    image = manifest.interface.image
    if (
        evaluation.weights is None
        or image is None
        or len(evaluation.weights.coef) != len(evaluation.per_class)
    ):
        return ""
    largest = max(abs(value) for row in evaluation.weights.coef for value in row)
    items = ""
    for row, scores in zip(evaluation.weights.coef, evaluation.per_class, strict=True):
        label = f"Weights of class {scores.name}"
        drawing = figures.weights(row, image, largest=largest, label=label)
        items += f"<li>{drawing}class <strong>{escape(scores.name)}</strong></li>"
    text = "<p>Ink in a blue pixel makes the class more likely, in a red one less likely.</p>"
    return blocks.section("Weights", f'{text}<ul class="gallery">{items}</ul>')


def _recipe(manifest: Manifest, evaluation: EvaluationReport) -> str:
    recipe = manifest.recipe
    fields = {
        "data": f"{recipe.data.title}, {recipe.data.digest}",
        "model": "; ".join(describe.estimators(recipe, evaluation.chosen())),
        "split": recipe.split.settings(),
        "code": recipe.code,
        "packages": ", ".join(f"{k} {v}" for k, v in recipe.packages.items()),
        "platform": f"{recipe.platform.system} {recipe.platform.machine}, {recipe.platform.libc}, "
        f"Python {recipe.platform.python}, profile {recipe.numerics.profile}",
        "recipe": manifest.recipe_digest,
    }
    return blocks.section("Recipe", blocks.listing(fields))


def _checks(artifact: Verified) -> str:
    fields = {
        "digest": artifact.digest,
        "parity": artifact.manifest.parity.claim(bool(artifact.manifest.interface.labels)),
    }
    if (reason := artifact.manifest.parity.reason) is not None:
        fields["reason for this form"] = reason
    if (cases := artifact.manifest.parity.edge_cases) is not None:
        fields["edge cases"] = ", ".join(f"{count} {kind}" for kind, count in cases.rows.items())
        fields["refused"] = ", ".join(f"{n} {kind}" for kind, n in cases.refused.items()) or "none"
    commands = [
        f"artifact-pipeline verify FOLDER --digest {artifact.digest}",
        "artifact-pipeline run CONFIG --force",
    ]
    lines = "\n".join(map(escape, commands))
    pre = f"<pre><code>{lines}</code></pre>"
    text = "<p>To verify the artifact, and to train it again from its config:</p>"
    return blocks.section(
        "Verification", f"{blocks.listing(fields)}{text}{blocks.scroll('Commands', pre)}"
    )
