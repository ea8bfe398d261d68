"""The report: one HTML file that asks nobody for anything.

No script, no request, one style sheet under a content policy that names its hash. All text that
a user chose is escaped.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from artifact_pipeline import evaluation
from artifact_pipeline import recipe as recipes
from artifact_pipeline.artifact.manifest import Manifest
from artifact_pipeline.artifact.open import Verified
from artifact_pipeline.data import Image
from artifact_pipeline.observation import QUANTILES, Evaluation, Example
from artifact_pipeline.report import figures
from artifact_pipeline.settings import Value

TITLES = {name: title[0].upper() + title[1:] for name, title in evaluation.TITLES.items()}


def write(artifact: Verified) -> str:
    """Return the report of a verified artifact as HTML; the same artifact gives the same text.

    Raises:
        VerificationError: if its evaluation is none.
    """
    style = Path(__file__).with_name("style.css").read_text("utf-8")
    seal = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    manifest, seen = artifact.manifest, artifact.evaluation()
    title = f"{recipes.title(manifest.recipe)} on {manifest.recipe.data.title}"
    policy = f"default-src 'none'; style-src 'sha256-{seal}'; base-uri 'none'; form-action 'none'"
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
{_metrics(manifest)}
{_of_classes(seen, manifest) if manifest.interface.labels else _of_numbers(seen)}
{_weights(seen, manifest)}
{_recipe(manifest)}
{_checks(artifact)}
</main>
</body>
</html>
"""


def _head(manifest: Manifest) -> str:
    test, train = manifest.metrics.test, manifest.metrics.train or {}
    first, second = ("accuracy", "f1_weighted") if manifest.interface.labels else ("r2", "mae")
    cards = [
        (f"Held-out {evaluation.TITLES[first]}", test.get(first)),
        (f"Held-out {evaluation.TITLES[second]}", test.get(second)),
        (f"Training {evaluation.TITLES[first]}", train.get(first)),
    ]
    items = "".join(
        f"<li><strong>{value:.4f}</strong> {name}</li>"
        for name, value in cards
        if value is not None
    )
    return (
        f'<p class="soft">{manifest.interface.target()}, '
        f"{len(manifest.interface.features)} features, {manifest.split.said()}."
        f'</p>\n<ul class="cards">{items}</ul>'
    )


def _metrics(manifest: Manifest) -> str:
    train, test = manifest.metrics.train or {}, manifest.metrics.test
    rows = [
        [TITLES.get(name, name), _number(train.get(name)), _number(test.get(name))]
        for name in dict.fromkeys([*TITLES, *test, *train])
        if name in train or name in test
    ]
    head = ["Metric", "Training rows", "Held-out rows"]
    return _section("How good it is", _table("Metrics, by the rows they are of", head, rows))


def _of_classes(seen: Evaluation, manifest: Manifest) -> str:
    parts = (_classes(seen), _confusion(seen), _mistakes(seen, manifest), _calibration(seen))
    return "\n".join(parts)


def _of_numbers(seen: Evaluation) -> str:
    errors = seen.errors if isinstance(seen.errors, list) else []
    head = ["Share of the rows", "Predicted minus true, at most"]
    rows = [[f"{share:.0%}", _number(e)] for share, e in zip(QUANTILES, errors, strict=True)]
    table = _table("Errors on the held-out rows", head, rows)
    examples = [(float(one.truth), float(one.label)) for one in seen.examples]
    text = (
        "<p>Points on the dashed line are predicted right; shown are the held-out rows that are "
        "kept, those farthest from it first.</p>"
    )
    head = ["Row", "True", "Predicted"]
    worst = [
        [str(one.row), _number(float(one.truth)), _number(float(one.label))]
        for one in seen.examples[:10]
    ]
    far = _table("The ten that are farthest from the truth", head, worst)
    return _section("Errors", text + figures.scatter(examples) + table + far)


def _classes(seen: Evaluation) -> str:
    rows = [
        [one.name, _number(one.precision), _number(one.recall), _number(one.f1), str(one.support)]
        for one in seen.per_class
    ]
    head = ["Class", "Precision", "Recall", "F1", "Rows"]
    return _section("By class", _table("Held-out rows, by their true class", head, rows))


def _confusion(seen: Evaluation) -> str:
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
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    table = (
        "<table><caption>Rows: the true class. Columns: the predicted one.</caption>"
        f'<thead><tr><th scope="col">True</th>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table>"
    )
    return _section("Confusion", _scroll("Confusion table", table))


def _mistakes(seen: Evaluation, manifest: Manifest) -> str:
    wrong = [example for example in seen.examples if example.truth != example.label]
    if not wrong:
        return _section("Mistakes", "<p>Every held-out row that is kept was predicted right.</p>")
    names: dict[Value, str] = {one.label: one.name for one in seen.per_class}
    image = manifest.interface.image
    if image is not None:
        items = "".join(_mistake(one, image, names) for one in wrong)
        return _section(f"Mistakes: {len(wrong)}", f'<ul class="gallery">{items}</ul>')
    head = ["Row", "True", "Predicted", "Probability"]
    rows = [
        [str(one.row), str(names.get(one.truth, one.truth)), str(names.get(one.label, one.label)),
         _number(max(one.probabilities) if one.probabilities else None)]
        for one in wrong
    ]  # fmt: skip
    table = _table("Held-out rows with a wrong label", head, rows)
    return _section(f"Mistakes: {len(wrong)}", table)


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


def _calibration(seen: Evaluation) -> str:
    if not seen.calibration:
        return ""
    head = ["Probability", "Rows", "Mean probability", "Share right"]
    rows = [
        [f"{one.low:.1f} to {one.high:.1f}", str(one.rows), _number(one.confidence),
         _number(one.accuracy)]
        for one in seen.calibration
    ]  # fmt: skip
    text = (
        "<p>Of the rows whose label had a probability of 0.8, about 0.8 should be right: points "
        "on the dashed line. A larger point stands for more rows.</p>"
    )
    table = _table("The most probable label, by its probability", head, rows)
    return _section("Calibration", text + figures.calibration(seen.calibration) + table)


def _weights(seen: Evaluation, manifest: Manifest) -> str:
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
    return _section("What it looks at", f'{text}<ul class="gallery">{items}</ul>')


def _recipe(manifest: Manifest) -> str:
    made = manifest.recipe
    fields = {
        "data": f"{made.data.title}, {made.data.digest}",
        "model": "; ".join(recipes.estimators(made)),
        "split": made.split.settings(),
        "code": made.code,
        "packages": ", ".join(f"{k} {v}" for k, v in made.packages.items()),
        "platform": f"{made.platform.system} {made.platform.machine}, {made.platform.libc}, "
        f"Python {made.platform.python}, profile {made.numerics.profile}",
        "recipe": manifest.recipe_digest,
    }
    return _section("Recipe", _list(fields))


def _checks(artifact: Verified) -> str:
    fields = {
        "digest": artifact.digest,
        "parity": artifact.manifest.parity.claim(bool(artifact.manifest.interface.labels)),
    }
    commands = (
        f"artifact-pipeline verify FOLDER --digest {artifact.digest}\n"
        "artifact-pipeline run CONFIG --force"
    )
    pre = f"<pre><code>{escape(commands)}</code></pre>"
    text = "<p>To check that this is the artifact, and to make it again from its config:</p>"
    return _section("Check it", f"{_list(fields)}{text}{_scroll('Commands', pre)}")


def _section(title: str, content: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n{content}\n</section>"


def _table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    columns = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    body = "".join(
        f'<tr><th scope="row">{escape(first)}</th>'
        + "".join(f"<td>{escape(value)}</td>" for value in others)
        + "</tr>"
        for first, *others in rows
    )
    table = (
        f"<table><caption>{escape(caption)}</caption><thead><tr>{columns}</tr></thead>"
        f"<tbody>{body}</tbody></table>"
    )
    return _scroll(caption, table)


def _scroll(label: str, table: str) -> str:
    """A wide table scrolls in itself, and by keyboard, so that the page does not."""
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(label)}">{table}</div>'
    )


def _list(fields: dict[str, str]) -> str:
    pairs = ((name, escape(value)) for name, value in fields.items())
    items = "".join(f"<dt>{name}</dt><dd><code>{value}</code></dd>" for name, value in pairs)
    return f"<dl>{items}</dl>"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
