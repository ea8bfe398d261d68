"""The report: one HTML file that asks nobody for anything.

No script, no request, one style sheet under a policy that names its hash; users' text is escaped.
"""

from __future__ import annotations

import json

from msgspec import UnsetType, structs

from artifact_pipeline.builder.artifact import describe
from artifact_pipeline.builder.artifact.evaluation import QUANTILES, EvaluationReport, Example
from artifact_pipeline.builder.artifact.manifest import Manifest, Metrics
from artifact_pipeline.builder.config.schema import Value
from artifact_pipeline.builder.data.dataset import Image
from artifact_pipeline.builder.metric_table import BY_NAME, heading, headline_metrics
from artifact_pipeline.report import blocks, figures
from artifact_pipeline.report.blocks import escape
from artifact_pipeline.verification.verify import Verified

CANDIDATES = 20
"""How many candidates of a search are shown."""


def write(artifact: Verified, *, examples: bool = True) -> str:
    """Return the report of a verified artifact as HTML; the same artifact gives the same text.

    Without `examples` no held-out row is shown.

    Raises:
        VerificationError: if its evaluation is none.
    """
    style = blocks.style()
    manifest, seen = artifact.manifest, artifact.evaluation()
    if not examples:
        seen = structs.replace(seen, examples=[])
    title = f"{describe.title(manifest.recipe)} on {manifest.recipe.data.title}"
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
{_warnings(seen)}
{_metrics(manifest)}
{_search(seen)}
{_of_classes(seen, manifest) if manifest.interface.labels else _of_numbers(seen)}
{_weights(seen, manifest)}
{_recipe(manifest, seen)}
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
        f"<li><strong>{value:.4f}</strong> {name}</li>"
        for name, value in cards
        if value is not None
    )
    return (
        f'<p class="soft">{manifest.interface.target()}, '
        f"{len(manifest.interface.features)} features, {manifest.split.summary()}."
        f'</p>\n<ul class="cards">{items}</ul>'
    )


def _metrics(manifest: Manifest) -> str:
    metrics = manifest.metrics
    train, test, cv = metrics.train or {}, metrics.test, metrics.cv or {}
    head = ["Metric", "Training rows", "Held-out rows"]
    if cv:
        head.append(f"Over {max(len(one.folds) for one in cv.values())} folds")
    rows = []
    for name in dict.fromkeys([*BY_NAME, *test, *train]):
        if name in train or name in test:
            row = [
                heading(name),
                blocks.number(train.get(name)),
                blocks.number(test.get(name)),
            ]
            over = f"{cv[name].mean:.4f} ± {cv[name].std:.4f}" if name in cv else ""
            rows.append([*row, over] if cv else row)
    table = blocks.table("Metrics, by the rows they are of", head, rows)
    return blocks.section("How good it is", table + _slices(metrics))


def _slices(metrics: Metrics) -> str:
    slices = metrics.slices or {}
    if not slices:
        return ""
    names = [name for name in BY_NAME if any(name in one.metrics for one in slices.values())]
    rows = [
        [name, str(one.rows), *(blocks.number(one.metrics.get(metric)) for metric in names)]
        for name, one in slices.items()
    ]
    head = ["Slice", "Rows", *(heading(name) for name in names)]
    return blocks.table("Held-out rows, by slice", head, rows)


def _warnings(seen: EvaluationReport) -> str:
    if not seen.leaks:
        return ""
    items = "".join(f"<li>{escape(one)}</li>" for one in seen.leaks)
    return blocks.section("Look at this first", f"<ul>{items}</ul>")


def _search(seen: EvaluationReport) -> str:
    if isinstance(seen.search, UnsetType):
        return ""
    best = sorted(seen.search.candidates, key=lambda one: one.rank)
    rows = [
        [str(one.rank), json.dumps(one.params), f"{one.mean:.4f} ± {one.std:.4f}"]
        for one in best[:CANDIDATES]
    ]
    text = f"<p>{len(best)} candidates were tried; the best one was fitted again and sealed.</p>"
    head = ["Rank", "Settings", seen.search.scoring]
    table = blocks.table("Candidates, by their mean over folds of the training rows", head, rows)
    return blocks.section("Search", text + table)


def _of_classes(seen: EvaluationReport, manifest: Manifest) -> str:
    parts = (_classes(seen), _confusion(seen), _mistakes(seen, manifest), _calibration(seen))
    return "\n".join(parts)


def _of_numbers(seen: EvaluationReport) -> str:
    errors = seen.errors if isinstance(seen.errors, list) else []
    head = ["Share of the rows", "Predicted minus true, at most"]
    rows = [[f"{share:.0%}", blocks.number(e)] for share, e in zip(QUANTILES, errors, strict=True)]
    table = blocks.table("Errors on the held-out rows", head, rows)
    examples = [(float(one.truth), float(one.label)) for one in seen.examples]
    text = (
        "<p>Points on the dashed line are predicted right; shown are the held-out rows that are "
        "kept, those farthest from it first.</p>"
    )
    head = ["Row", "True", "Predicted"]
    worst = [
        [str(one.row), blocks.number(float(one.truth)), blocks.number(float(one.label))]
        for one in seen.examples[:10]
    ]
    far = blocks.table("The ten that are farthest from the truth", head, worst)
    return blocks.section("Errors", text + figures.scatter(examples) + table + far)


def _classes(seen: EvaluationReport) -> str:
    rows = [
        [
            one.name,
            blocks.number(one.precision),
            blocks.number(one.recall),
            blocks.number(one.f1),
            str(one.support),
        ]
        for one in seen.per_class
    ]
    zero = blocks.number(0.0)
    rows += [
        [f"{one.name} (in no training row)", zero, zero, zero, str(one.support)]
        for one in seen.unlearned or []
    ]
    head = ["Class", "Precision", "Recall", "F1", "Rows"]
    return blocks.section(
        "By class", blocks.table("Held-out rows, by their true class", head, rows)
    )


def _confusion(seen: EvaluationReport) -> str:
    names = [one.name for one in seen.per_class]
    most = max((max(row, default=0) for row in seen.confusion), default=0) or 1
    body = []
    for i, row in enumerate(seen.confusion):
        cells = []
        for j, count in enumerate(row):
            heat = f"h{1 + min(3, 4 * count // (most + 1))}" if i == j and count else ""
            kind = heat or ("miss" if count else "")
            cells.append(f'<td class="{kind}">{count}</td>')
        body.append(f'<tr><th scope="row">{escape(names[i])}</th>{"".join(cells)}</tr>')
    for one in seen.unlearned or []:
        cells = [f'<td class="{"miss" if n else ""}">{n}</td>' for n in one.predicted]
        body.append(f'<tr><th scope="row">{escape(one.name)}</th>{"".join(cells)}</tr>')
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    table = (
        "<table><caption>Rows: the true class. Columns: the predicted one.</caption>"
        f'<thead><tr><th scope="col">True</th>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table>"
    )
    return blocks.section("Confusion", blocks.scroll("Confusion table", table))


def _mistakes(seen: EvaluationReport, manifest: Manifest) -> str:
    wrong = [example for example in seen.examples if example.truth != example.label]
    if not seen.examples:
        return blocks.section("Mistakes", "<p>No held-out row is shown.</p>")
    if not wrong:
        return blocks.section(
            "Mistakes", "<p>Every held-out row that is kept was predicted right.</p>"
        )
    names: dict[Value, str] = {one.label: one.name for one in seen.per_class}
    names |= {one.label: one.name for one in seen.unlearned or []}
    image = manifest.interface.image
    if image is not None:
        items = "".join(_mistake(one, image, names) for one in wrong)
        return blocks.section(f"Mistakes: {len(wrong)}", f'<ul class="gallery">{items}</ul>')
    head = ["Row", "True", "Predicted", "Probability"]
    rows = [
        [str(one.row), str(names.get(one.truth, one.truth)), str(names.get(one.label, one.label)),
         blocks.number(max(one.probabilities) if one.probabilities else None)]
        for one in wrong
    ]  # fmt: skip
    table = blocks.table("Held-out rows with a wrong label", head, rows)
    return blocks.section(f"Mistakes: {len(wrong)}", table)


def _mistake(one: Example, image: Image, names: dict[Value, str]) -> str:
    truth, label = (str(names.get(value, value)) for value in (one.truth, one.label))
    sure = f" ({max(one.probabilities):.2f})" if one.probabilities else ""
    drawn = figures.pixels(
        [float(value or 0) for value in one.values], image, f"Row {one.row}, which is {truth}"
    )
    return (
        f"<li>{drawn}true <strong>{escape(truth)}</strong><br>"
        f"predicted <strong>{escape(label)}</strong>{sure}<br>"
        f'<span class="soft">row {one.row}</span></li>'
    )


def _calibration(seen: EvaluationReport) -> str:
    if not seen.calibration:
        return ""
    head = ["Probability", "Rows", "Mean probability", "Share right"]
    rows = [
        [f"{one.low:.1f} to {one.high:.1f}", str(one.rows), blocks.number(one.confidence),
         blocks.number(one.accuracy)]
        for one in seen.calibration
    ]  # fmt: skip
    text = (
        "<p>Of the rows whose label had a probability of 0.8, about 0.8 should be right: points "
        "on the dashed line. A larger point stands for more rows.</p>"
    )
    table = blocks.table("The most probable label, by its probability", head, rows)
    return blocks.section("Calibration", text + figures.calibration(seen.calibration) + table)


def _weights(seen: EvaluationReport, manifest: Manifest) -> str:
    image = manifest.interface.image
    if seen.weights is None or image is None or len(seen.weights.coef) != len(seen.per_class):
        return ""
    largest = max(abs(value) for row in seen.weights.coef for value in row)
    items = "".join(
        f"<li>{figures.weights(row, largest, image, f'Weights of class {one.name}')}"
        f"class <strong>{escape(one.name)}</strong></li>"
        for row, one in zip(seen.weights.coef, seen.per_class, strict=True)
    )
    text = "<p>Ink in a blue pixel speaks for the class, in a red one against it.</p>"
    return blocks.section("What it looks at", f'{text}<ul class="gallery">{items}</ul>')


def _recipe(manifest: Manifest, seen: EvaluationReport) -> str:
    made = manifest.recipe
    fields = {
        "data": f"{made.data.title}, {made.data.digest}",
        "model": "; ".join(describe.estimators(made, seen.chosen())),
        "split": made.split.settings(),
        "code": made.code,
        "packages": ", ".join(f"{k} {v}" for k, v in made.packages.items()),
        "platform": f"{made.platform.system} {made.platform.machine}, {made.platform.libc}, "
        f"Python {made.platform.python}, profile {made.numerics.profile}",
        "recipe": manifest.recipe_digest,
    }
    return blocks.section("Recipe", blocks.listing(fields))


def _checks(artifact: Verified) -> str:
    fields = {
        "digest": artifact.digest,
        "parity": artifact.manifest.parity.claim(bool(artifact.manifest.interface.labels)),
    }
    if not isinstance(reason := artifact.manifest.parity.reason, UnsetType):
        fields["why this form"] = reason
    if not isinstance(cases := artifact.manifest.parity.edge_cases, UnsetType):
        fields["edge cases"] = ", ".join(f"{count} {kind}" for kind, count in cases.rows.items())
        fields["refused"] = ", ".join(f"{n} {kind}" for kind, n in cases.refused.items()) or "none"
    commands = [
        f"artifact-pipeline verify FOLDER --digest {artifact.digest}",
        "artifact-pipeline run CONFIG --force",
    ]
    lines = "\n".join(map(escape, commands))
    pre = f"<pre><code>{lines}</code></pre>"
    text = "<p>To check that this is the artifact, and to make it again from its config:</p>"
    return blocks.section(
        "Check it", f"{blocks.listing(fields)}{text}{blocks.scroll('Commands', pre)}"
    )
