"""The model card: the artifact's README.md, with YAML front matter for Hugging Face.

https://huggingface.co/docs/hub/model-cards describes the front matter.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from artifact_pipeline.builder import recipe as recipes
from artifact_pipeline.builder.artifact.describe import estimators, headline
from artifact_pipeline.builder.artifact.digits import headline_sentence
from artifact_pipeline.builder.artifact.evaluation import EvaluationReport
from artifact_pipeline.builder.artifact.manifest import (
    MODEL_FILES,
    Interface,
    Metrics,
    Parity,
    SplitSummary,
)
from artifact_pipeline.builder.escapes import write_out, write_out_json
from artifact_pipeline.builder.metric_table import BY_NAME, METRICS, figure, heading
from artifact_pipeline.builder.recipe import Recipe


def write(
    recipe: Recipe,
    *,
    split: SplitSummary,
    metrics: Metrics,
    interface: Interface,
    parity: Parity,
    evaluation: EvaluationReport,
) -> str:
    """Return the card as Markdown, with all text from users escaped.

    Args:
        recipe: The recipe.
        split: The number of training and held-out rows.
        metrics: The metrics.
        interface: The inputs and outputs of the open form.
        parity: The proof of the open form.
        evaluation: The evaluation on the held-out rows.
    """
    chosen = evaluation.chosen()
    dataset = recipe.data.title
    task = "tabular-classification" if interface.labels else "tabular-regression"
    head = {
        "library_name": "sklearn",
        "pipeline_tag": task,
        "tags": ["sklearn", parity.form.partition("-")[0], "artifact-pipeline"],
        "datasets": [dataset],
        "model-index": [
            {
                "name": recipe.name or headline(recipe),
                "results": [
                    {
                        "task": {"type": task},
                        "dataset": {"type": dataset, "name": dataset, "split": "test"},
                        "metrics": [
                            {"type": metric.card_name, "value": metrics.test[metric.name]}
                            for metric in METRICS
                            if metric.card_name and metric.name in metrics.test
                        ],
                    }
                ],
            }
        ],
    }
    return f"""---
{write_out_json(json.dumps(head, indent=2))}
---

# {plain(headline(recipe))}
{_description(recipe)}
{interface.target()}, {interface.width()}, {split.summary()}.

## Metrics
{_headline(metrics, evaluation)}
| metric | training rows | held-out rows |
| --- | ---: | ---: |
{_metric_rows(metrics)}
{_more(metrics)}
{_sample_note(metrics)}The held-out rows show how good the model is on new data.
`evaluation.json` has more measurements on them, and examples.

## Recipe

`{recipes.digest(recipe)}`: the same recipe gives the same bytes.

| | |
| --- | --- |
{_recipe_rows(recipe, chosen)}

## Usage

Use `{MODEL_FILES[parity.form]}`. It is proven: \
{parity.claim(bool(interface.labels))}.{_reason(parity)}

`model_train.pkl` is the scikit-learn estimator. Opening a pickle runs the code in it, so open it
only if you know who wrote it.

    artifact-pipeline verify FOLDER --digest sha256:…
    artifact-pipeline infer FOLDER rows.csv
"""


def _description(recipe: Recipe) -> str:
    return "" if recipe.description is None else f"\n{plain(recipe.description)}\n"


def _headline(metrics: Metrics, evaluation: EvaluationReport) -> str:
    sentence = headline_sentence(metrics, evaluation)
    if sentence is None or evaluation.diagnostics is None:
        return ""
    return f"\n**{plain(sentence)}.** {plain(evaluation.diagnostics.reason)}\n"


def _reason(parity: Parity) -> str:
    return "" if parity.reason is None else f"\n{plain(parity.reason)}."


def _metric_rows(metrics: Metrics) -> str:
    train = metrics.train or {}
    return "\n".join(
        f"| {heading(name)} | {_figure(train, name)} | {figure(metrics.test[name])} |"
        for name in BY_NAME
        if name in metrics.test
    )


def _sample_note(metrics: Metrics) -> str:
    if metrics.train_rows is None:
        return ""
    return f"Metrics of training rows are of a random sample of {metrics.train_rows:,} of them. "


def _more(metrics: Metrics) -> str:
    """Return the tables of folds and slices, if there are any."""
    lines = []
    if cv := metrics.cv or {}:
        folds = max(len(spread.folds) for spread in cv.values())
        lines += ["", f"| {folds} folds of the training rows | mean | standard deviation |"]
        lines += ["| --- | ---: | ---: |"]
        lines += [
            f"| {heading(name)} | {figure(cv[name].mean)} | {figure(cv[name].std)} |"
            for name in BY_NAME
            if name in cv
        ]
    for name, part in (metrics.slices or {}).items():
        lines += ["", f"| slice {plain(name)}, {part.rows} held-out rows | |", "| --- | ---: |"]
        lines += [
            f"| {heading(k)} | {figure(v)} |" for k, v in part.metrics.items() if k in BY_NAME
        ]
    return "\n".join([*lines, ""]) if lines else ""


def _figure(metrics: dict[str, float], name: str) -> str:
    return figure(metrics[name]) if name in metrics else ""


def _recipe_rows(recipe: Recipe, chosen: Mapping[str, Any] | None) -> str:
    lines = [("data", f"{recipe.data.title}, {recipe.data.digest}")]
    lines += [("estimator", line) for line in estimators(recipe, chosen)]
    lines.append(("split", recipe.split.settings()))
    lines.append(("code", recipe.code))
    lines.append(("numeric profile", recipe.numerics.profile))
    lines.append(("platform", ", ".join(msgspec.to_builtins(recipe.platform).values())))
    lines.append(("packages", ", ".join(f"{k} {v}" for k, v in recipe.packages.items())))
    return "\n".join(f"| {name} | {plain(value)} |" for name, value in lines)


def plain(text: str) -> str:
    r"""Return `text` escaped for Markdown: no markup, HTML or control character remains.

    No link remains either, except that GitHub links e-mail addresses, which no escape prevents.

    >>> print(plain("[x](http://example.org) www.example.org"))
    \[x\]\(http\://example.org\) www\.example.org
    """
    escaped = html.escape(" ".join(write_out(text).split()), quote=False)
    escaped = re.sub(r"([\\`*_{}\[\]()#+!|~@:$])", r"\\\1", escaped)
    return re.sub(r"(?i)(www)\.", r"\1\\.", escaped)
