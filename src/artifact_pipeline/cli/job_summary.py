"""The Markdown that a job of GitHub Actions shows: metrics, gates, the change, the confusion."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from artifact_pipeline.builder.artifact import describe
from artifact_pipeline.builder.artifact.card import plain
from artifact_pipeline.builder.artifact.manifest import Metrics
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.builder.metric_table import BY_NAME, heading
from artifact_pipeline.pipeline.gates import Verdict
from artifact_pipeline.verification.verify import Verified


def write(
    artifact: Verified,
    gates: Sequence[Verdict],
    previous: tuple[Digest, Metrics] | None,
    cached: bool,
) -> str:
    """Return the summary of a run; `previous` is the artifact to compare held-out metrics with."""
    manifest = artifact.manifest
    made = manifest.recipe
    metrics, train = manifest.metrics, manifest.metrics.train or {}
    before = previous[1].test if previous else {}
    head = ["metric", "training rows", "held-out rows"]
    if previous:
        head.append(f"change from {previous[0][7:19]}")
    rows = []
    for name in dict.fromkeys([*BY_NAME, *metrics.test]):
        if name in metrics.test:
            row = [
                heading(name),
                f"{train[name]:.4f}" if name in train else "",
                f"{metrics.test[name]:.4f}",
            ]
            if previous:
                row.append(f"{metrics.test[name] - before[name]:+.4f}" if name in before else "")
            rows.append(row)
    seen = artifact.evaluation()
    names = [one.name for one in seen.per_class]
    confusion = [[name, *map(str, row)] for name, row in zip(names, seen.confusion, strict=True)]
    confusion += [[one.name, *map(str, one.predicted)] for one in seen.unlearned or []]
    parts = [
        f"## {plain(describe.title(made))} on {plain(made.data.title)}",
        "Nothing was trained: the artifact of this recipe was there, and verified."
        if cached
        else f"Trained on {manifest.split.rows.train} rows.",
        _table(head, rows),
        _gates(gates),
        f"<details><summary>Confusion on the {manifest.split.rows.test} held-out rows</summary>\n\n"
        f"{_table(['true, predicted', *names], confusion)}\n\n</details>"
        if names
        else "",
        _table(
            ["", ""],
            [["digest", artifact.digest], ["recipe", manifest.recipe_digest]],
        ),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _gates(gates: Sequence[Verdict]) -> str:
    rows = [
        [
            "passed" if verdict.passed else "**missed**",
            _rule(verdict),
            f"{verdict.value:.4f}",
            verdict.note or f"{verdict.margin:+.4f}",
        ]
        for verdict in gates
    ]
    lines = [f"| {a} | {plain(b)} | {c} | {plain(d)} |" for a, b, c, d in rows]
    head = "| gate | bound | value | margin |\n| --- | --- | ---: | ---: |"
    return "\n".join([head, *lines]) if lines else ""


def _rule(verdict: Verdict) -> str:
    if verdict.bound == "not_worse_than":
        return f"{verdict.metric} not worse than {verdict.alias}"
    words = {"min": "at least", "max": "at most"}
    return f"{verdict.metric} {words[verdict.bound]} {verdict.limit:g}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [list(head), ["---", *["---:"] * (len(head) - 1)]]
    cells = [[plain(cell) for cell in row] for row in rows]
    first = " | ".join(plain(cell) for cell in lines[0])
    body = [f"| {' | '.join(row)} |" for row in cells]
    return "\n".join([f"| {first} |", f"| {' | '.join(lines[1])} |", *body])
