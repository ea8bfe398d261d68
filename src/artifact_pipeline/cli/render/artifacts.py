"""Artifacts as text: one with its history, an imported one, a reproduced one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from artifact_pipeline.builder.escapes import write_out
from artifact_pipeline.builder.metric_table import title
from artifact_pipeline.cli.layout import field, paragraph, short
from artifact_pipeline.cli.render.metrics import gate_lines, metric_lines
from artifact_pipeline.cli.render.runs import report_lines

if TYPE_CHECKING:
    from artifact_pipeline.pipeline.import_model import Sealed
    from artifact_pipeline.pipeline.reproduce import Reproduction
    from artifact_pipeline.store.events import Promotion, RemovedAlias
    from artifact_pipeline.store.journal import PastRun
    from artifact_pipeline.store.queries import HeadlineMetric, Shown


def sealed(result: Sealed) -> str:
    """Return the metrics and paths of an imported model."""
    return "\n".join(
        [
            *metric_lines(result.metrics),
            "",
            field("artifact", f"{result.name}:{result.version}, {short(result.digest)}"),
            field("folder", result.artifact),
            *report_lines(result.report),
        ]
    )


def shown(result: Shown) -> str:
    """Return the recipe, metrics, checks and history of an artifact."""
    from artifact_pipeline.builder.artifact import describe

    manifest = result.manifest
    recipe = manifest.recipe
    lines = [
        click.style(write_out(describe.headline(recipe)), bold=True),
        *([paragraph(write_out(recipe.description), indent="")] if recipe.description else []),
        f"{manifest.interface.target()}, {manifest.interface.width()}, "
        f"{manifest.split.summary()}",
        "",
        *_headline(result.headline),
        *_past_gates(result.record),
        *([] if result.headline is None and not result.record else [""]),
        *metric_lines(manifest.metrics, baseline=result.baseline),
        "",
        "made from",
        field("data", f"{recipe.data.title}, {short(recipe.data.digest)}"),
        *(field("estimator", line) for line in describe.estimators(recipe, result.chosen)),
        field("split", recipe.split.settings()),
        field("code", short(recipe.code)),
        field("packages", ", ".join(f"{k} {v}" for k, v in recipe.packages.items())),
        field("platform", f"{recipe.platform.system} {recipe.platform.machine}, "
               f"{recipe.platform.libc}, Python {recipe.platform.python}"),
        field("profile", recipe.numerics.profile),
        "",
        "checked",
        field("files", f"{len(manifest.files) + 1} verified just now"),
        field("parity", manifest.parity.claim(bool(manifest.interface.labels))),
        *([field("form", str(manifest.parity.reason))] if manifest.parity.reason else []),
        *_provenance(result.record),
        "",
        field("folder", result.folder),
        field("digest", result.digest),
        field("recipe", short(manifest.recipe_digest)),
        field("version", _version(result.name, result.version)),
        field("aliases", ", ".join(result.aliases) or "none"),
        *(field("tag", f"{key}={value}") for key, value in result.tags.items()),
        *_alias_history(result),
    ]  # fmt: skip
    return "\n".join(lines)


def _headline(headline: HeadlineMetric | None) -> list[str]:
    """Return the metric to judge a model by, with its interval and its baseline."""
    if headline is None:
        return []
    name = click.style(f"held-out {title(headline.metric)}", bold=True)
    return [paragraph(f"{name}  {headline.summary()}", hanging="    ")]


def _past_gates(record: PastRun | None) -> list[str]:
    """Return the gates of the run that made an artifact."""
    if record is None:
        return []
    if not record.gates:
        return ["  gates  none"]
    from artifact_pipeline.pipeline.gates import Verdict

    try:
        verdicts = msgspec.convert(record.gates, list[Verdict])
    except msgspec.ValidationError:  # an earlier release wrote another format
        passed = sum(isinstance(g, dict) and g.get("passed") is True for g in record.gates)
        return [f"  gates  {passed} of {len(record.gates)} passed"]
    return gate_lines(verdicts)[1:]


def _alias_history(result: Shown) -> list[str]:
    """Return a line for each time that an alias started or stopped naming an artifact."""
    verbs = [("since" if move.digest == result.digest else "until") for move in result.promotions]
    events: list[tuple[str, Promotion | RemovedAlias]] = [
        *zip(verbs, result.promotions, strict=True),
        *(("removed", removal) for removal in result.removals),
    ]
    lines = []
    for verb, event in sorted(events, key=lambda pair: pair[1].when, reverse=True):
        message = f": {event.message}" if event.message else ""
        lines.append(field(event.alias, f"{verb} {event.when}, by {event.by}{message}"))
    return lines


def _provenance(record: PastRun | None) -> list[str]:
    if record is None:
        return [field("run", "the store has no record of it")]
    commit = "not in a git repository"
    if record.git is not None:
        commit = record.git.commit + (", with uncommitted changes" if record.git.dirty else "")
    lines = [field("run", f"{record.run}, {record.outcome}"), field("commit", commit)]
    return lines + [field("warning", warning) for warning in record.warnings]


def _version(name: str, version: int | None) -> str:
    if version is None:
        return f"none of {name}; run artifact-pipeline doctor --repair to number it"
    return f"{name}:{version}"


def reproduced(result: Reproduction) -> str:
    """Return the result of a reproduction, and what may have caused a difference."""
    if result.result == "identical":
        word = click.style("identical", fg="green", bold=True)
        return f"{word}: {short(result.digest)} was trained again, and every byte is the same"
    colour = "yellow" if result.result == "same-predictions" else "red"
    lines = [
        click.style(result.result, fg=colour, bold=True),
        field("then", short(result.digest)),
        field("now", short(result.rebuilt_digest)),
        field("files", ", ".join(result.files)),
    ]
    if result.rows:
        first = ", ".join(map(str, result.rows[:10]))
        lines.append(field("rows", f"{len(result.rows)} with other predictions: {first}"))
        lines.append(field("labels", f"{result.labels} of them with another label"))
    if result.apart is not None:
        lines.append(field("apart", f"probabilities differ by at most {result.apart:.2g}"))
    lines += [field("suspect", suspect) for suspect in result.suspects]
    if any(suspect.startswith(("numerics", "platform")) for suspect in result.suspects):
        note = "identical bytes are promised only for one profile and platform"
        lines.append(field("expected", note))
    if result.install:
        lines += ["", "  to install its packages (or use --with-packages):", f"  {result.install}"]
    return "\n".join(lines)
