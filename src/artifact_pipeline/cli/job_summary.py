"""The Markdown summary of a job in GitHub Actions: headline, metrics, gates, confusion table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from artifact_pipeline.builder.artifact import describe
from artifact_pipeline.builder.artifact.card import plain
from artifact_pipeline.builder.artifact.digits import headline_sentence
from artifact_pipeline.builder.metric_table import BY_NAME, figure, heading
from artifact_pipeline.pipeline.gates import Verdict, unjudged
from artifact_pipeline.pipeline.record import Run
from artifact_pipeline.verification.verify import Verified


def write(artifact: Verified, run: Run) -> str:
    """Return the summary of a run that made or found `artifact`."""
    manifest = artifact.manifest
    recipe = manifest.recipe
    report = artifact.evaluation()
    sentence = headline_sentence(run.metrics, report)
    names = [scores.name for scores in report.per_class]
    confusion = [[name, *map(str, row)] for name, row in zip(names, report.confusion, strict=True)]
    confusion += [[row.name, *map(str, row.predicted)] for row in report.unlearned or []]
    parts = [
        f"## {plain(describe.headline(recipe))}",
        plain(recipe.description or ""),
        f"**{plain(sentence)}.**" if sentence else "",
        "Nothing was trained: the store has the artifact of this recipe, and it verifies."
        if run.cached
        else f"Trained on {manifest.split.rows.train} rows.",
        _metrics(run, baseline={} if report.baseline is None else report.baseline.test),
        _gates(run.gates),
        f"<details><summary>Confusion on the {manifest.split.rows.test} held-out rows</summary>\n\n"
        f"{_table(['true, predicted', *names], confusion)}\n\n</details>"
        if names
        else "",
        _table(
            ["", ""],
            [
                ["version", f"{run.name}:{run.version}"],
                ["digest", artifact.digest],
                ["recipe", manifest.recipe_digest],
            ],
        ),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _metrics(run: Run, *, baseline: Mapping[str, float]) -> str:
    train, test = run.metrics.train or {}, run.metrics.test
    before = run.previous.metrics.test if run.previous else {}
    head = ["metric", "training rows", "held-out rows"]
    if run.previous:
        head.append(f"change from {run.previous.digest[7:19]}")
    if baseline:
        head.append("baseline")
    rows = []
    for name in dict.fromkeys([*BY_NAME, *test]):
        if name in test:
            trained = figure(train[name]) if name in train else ""
            row = [heading(name), trained, figure(test[name])]
            if run.previous:
                row.append(_change(test[name] - before[name]) if name in before else "")
            if baseline:
                row.append(figure(baseline[name]) if name in baseline else "")
            rows.append(row)
    return _table(head, rows)


def _gates(gates: Sequence[Verdict]) -> str:
    rows = [
        [
            _outcome(verdict),
            _rule(verdict),
            figure(verdict.value),
            verdict.note or _change(verdict.margin),
        ]
        for verdict in gates
    ]
    lines = [f"| {a} | {plain(b)} | {c} | {plain(d)} |" for a, b, c, d in rows]
    head = "| gate | bound | value | margin |\n| --- | --- | ---: | ---: |"
    warnings = [f"> [!WARNING]\n> {plain(warning)}\n" for warning in unjudged(gates)]
    return "\n".join([*warnings, head, *lines]) if lines else ""


def _outcome(verdict: Verdict) -> str:
    if not verdict.judged:
        return "**not judged**"
    return "passed" if verdict.passed else "**missed**"


def _change(difference: float) -> str:
    return ("+" if difference >= 0 else "") + figure(difference)


def _rule(verdict: Verdict) -> str:
    if verdict.comparison is not None:
        return f"{verdict.metric} {verdict.comparison}"
    words = {"min": "at least", "max": "at most"}
    return f"{verdict.metric} {words[verdict.bound]} {verdict.limit:,.10g}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [list(head), ["---", *["---:"] * (len(head) - 1)]]
    cells = [[plain(cell) for cell in row] for row in rows]
    first = " | ".join(plain(cell) for cell in lines[0])
    body = [f"| {' | '.join(row)} |" for row in cells]
    return "\n".join([f"| {first} |", f"| {' | '.join(lines[1])} |", *body])
