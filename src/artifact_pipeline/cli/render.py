"""The results of commands as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click
import msgspec

from artifact_pipeline.builder.artifact.manifest import Metrics
from artifact_pipeline.builder.escapes import write_out
from artifact_pipeline.builder.metric_table import BY_NAME, METRICS, figure, title
from artifact_pipeline.cli import output
from artifact_pipeline.cli.layout import (
    WIDTH,
    field,
    paragraph,
    short,
    table,
    truncated,
    width_of,
)

if TYPE_CHECKING:
    from artifact_pipeline.inference.infer_files import FilePredictions
    from artifact_pipeline.inference.predict import Prediction
    from artifact_pipeline.pipeline.draft_config import Draft
    from artifact_pipeline.pipeline.evaluate import Evaluated
    from artifact_pipeline.pipeline.gates import Verdict
    from artifact_pipeline.pipeline.import_model import Sealed
    from artifact_pipeline.pipeline.record import Run
    from artifact_pipeline.pipeline.reproduce import Reproduction
    from artifact_pipeline.remote.listing import RemoteArtifact
    from artifact_pipeline.remote.pull import Pulled
    from artifact_pipeline.remote.push import Pushed
    from artifact_pipeline.store.check import HealthReport
    from artifact_pipeline.store.events import Evidence, Promotion, RemovedAlias, TagChange
    from artifact_pipeline.store.history import AliasAt, HistoryEntry
    from artifact_pipeline.store.journal import PastRun
    from artifact_pipeline.store.prune import PruneReport
    from artifact_pipeline.store.queries import HeadlineMetric, Listed, Shown

RUNS = 20
"""The number of runs that `list` shows."""
SAMPLES = 10
"""The number of held-out rows that `infer` shows."""
_MAX_LINE = 80
_MAX_NAME = 20


def answer(result: Any, view: Callable[[Any], str], *, as_json: bool) -> None:
    """Print a result as JSON, or as the text of a view below."""
    if as_json:
        output.document(result)
    else:
        output.text(view(result))


def ran(run: Run) -> str:
    """Return the metrics, gates and paths of a run."""
    return "\n".join(
        [
            "",
            *_metrics(run.metrics),
            *_gates(run.gates),
            "",
            field("artifact", f"{run.name}:{run.version}, {short(run.digest)}"),
            field("recipe", short(run.recipe_digest)),
            *report_lines(run.report),
        ]
    )


def evaluated(result: Evaluated) -> str:
    """Return the metrics that were measured again, and the gates."""
    lines = [field("artifact", short(result.digest)), ""]
    lines += _metrics(result.metrics)
    return "\n".join([*lines, *_gates(result.gates)])


def predicted(result: Prediction) -> str:
    """Return a line for each row; for held-out rows, a metric and the first predictions."""
    count = _count(result)
    if result.truth is None:
        if result.predictions is not None:
            return "\n".join(f"{value:.6g}" for value in result.predictions)
        rows = [_prediction(result, row) for row in range(count)]
        return "\n".join(line[2:] for line in table(rows).splitlines())
    name, value = (
        ("accuracy", result.accuracy) if result.labels else ("mean absolute error", result.mae)
    )
    assert value is not None
    rows = [["true", "predicted", *(["probability"] if result.probabilities else [])]]
    for row in range(min(SAMPLES, count)):
        if result.predictions is not None:
            rows.append([_number(result.truth[row]), _number(result.predictions[row])])
        else:
            is_wrong = result.truth[row] != (result.labels or [])[row]
            truth = truncated(write_out(str(result.truth[row])), 24)
            rows.append([truth, *_prediction(result, row), *(["wrong"] if is_wrong else [])])
    columns = table(rows, numbers=0 if result.labels else 2)
    return f"{name} on the {count} held-out rows: {figure(value)}\n\n{columns}"


def remarks(result: Prediction) -> list[str]:
    """Return remarks on columns that the model does not use and texts that are new to it."""
    return _remarks(result.extra, result.unseen)


def file_remarks(result: FilePredictions) -> list[str]:
    """Return remarks on columns and values as `remarks` does, and on rows that were skipped."""
    tally = result.tally
    lines = _remarks(tally.extra, tally.unseen)
    for name, rows in tally.outside.items():
        counted = _counted(rows, "row")
        lines.append(
            f"column {write_out(name)}: {counted} with a number outside the training range"
        )
    if tally.skipped:
        lines.append(f"skipped rows: {tally.skipped}")
        lines += [f"  {write_out(error)}" for error in tally.first_skipped]
        if tally.skipped > len(tally.first_skipped):
            lines.append("  …")
    if result.restarted:
        lines.append(
            "the output could not be continued, so it was written from the start; only a folder "
            "of parts is continued part by part"
        )
    return lines


def _remarks(extra: Sequence[str], unseen: Mapping[str, int]) -> list[str]:
    lines = []
    if extra:
        lines.append(f"ignored columns: {', '.join(map(write_out, extra))}")
    for name, rows in unseen.items():
        counted = _counted(rows, "row")
        lines.append(f"column {write_out(name)}: {counted} with a text not seen in training")
    return lines


def report_lines(path: str) -> list[str]:
    """Return the path of a report on a line of its own, unbroken so that it can be copied."""
    return ["", "report:", write_out(path)]


def sealed(result: Sealed) -> str:
    """Return the metrics and paths of an imported model."""
    return "\n".join(
        [
            *_metrics(result.metrics),
            "",
            field("artifact", f"{result.name}:{result.version}, {short(result.digest)}"),
            field("folder", result.artifact),
            *report_lines(result.report),
        ]
    )


def drafted(draft: Draft) -> str:
    """Return the columns of the table of a draft, and the choices."""
    header = ("column", "kind", "missing", "distinct", "range or examples", "becomes")
    rows = [header]
    for column in draft.columns:
        kind, missing, distinct = column.kind or "", f"{column.missing:,}", f"{column.distinct:,}"
        rows.append((column.name, kind, missing, distinct, column.values, column.use))
    lines = [f"{draft.rows:,} rows, {len(draft.columns)} columns", "", *_table(rows), ""]
    lines += [
        paragraph(write_out(choice), indent="  · ", hanging="    ") for choice in draft.choices
    ]
    return "\n".join(lines)


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return the columns of a table as lines of up to 80 characters."""
    cells = [tuple(write_out(cell) for cell in row) for row in rows]
    widths = [max(len(row[index]) for row in cells) for index in range(6)]
    widths[0] = min(widths[0], _MAX_NAME)
    widths[4] = min(widths[4], _MAX_LINE - 2 - 2 * 5 - sum(widths[:4]) - widths[5])
    lines = []
    for row in cells:
        name, kind, missing, distinct, values, use = (
            cell if len(cell) <= width else f"{cell[: width - 1]}…"
            for cell, width in zip(row, widths, strict=True)
        )
        line = (
            f"  {name:<{widths[0]}}  {kind:<{widths[1]}}  {missing:>{widths[2]}}  "
            f"{distinct:>{widths[3]}}  {values:<{widths[4]}}  {use}"
        )
        lines.append(line.rstrip())
    return lines


def ambiguous(draft: Draft) -> str:
    """Return which dates of a draft may have the day or the month first, with an example."""
    examples = {column.name: column.values.partition(",")[0] for column in draft.columns}
    names = draft.ambiguous_dates
    listed = ", ".join(f"{write_out(name)} ({write_out(examples[name])})" for name in names)
    return f"Dates with the day or the month first: {listed}."


def wrote(path: str) -> str:
    """Return that a config was written, and the command that runs it."""
    path = write_out(path)
    return f"wrote {path}; next: artifact-pipeline run {path}"


def written(result: Prediction, path: str) -> str:
    """Return how many predictions were written, and which artifact made them."""
    return f"wrote {_count(result)} predictions of {short(result.digest)} to {write_out(path)}"


def written_files(result: FilePredictions) -> str:
    """Return how many predictions were written, to where, and which artifact made them."""
    target = "standard output" if result.output == "-" else write_out(result.output)
    if result.parts > 1:
        target += f" in {result.parts} files"
    return f"wrote {result.tally.rows} predictions of {short(result.digest)} to {target}"


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
        *_metrics(manifest.metrics, baseline=result.baseline),
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


def promoted(move: Promotion) -> str:
    """Return what an alias names now and named before."""
    before, adverb = "", "again" if move.rollback else "now"
    if move.instead_of == move.digest:
        adverb = "still"
    elif move.instead_of:
        version = "" if move.instead_of_version is None else f"version {move.instead_of_version}, "
        before = f"; it was {version}{short(move.instead_of)}"
    lines = [f"{move.name}@{move.alias} is {adverb} version {move.version}, "
             f"{short(move.digest)}{before}"]  # fmt: skip
    if len(over := move.went_back_over) > 1:
        lines.append(f"undone: versions {', '.join(map(str, over))}")
    return "\n".join(lines)


def alias_removed(removal: RemovedAlias) -> str:
    """Return which alias was removed, and what it named."""
    version = f"version {removal.version}, " if removal.version else ""
    return f"removed {removal.name}@{removal.alias}, which named {version}{short(removal.digest)}"


def pushed(result: Pushed) -> str:
    """Return where an artifact is now, and what was transferred."""
    count = _counted(result.uploaded, "file")
    size = (
        f"{count}, {_size(result.bytes)}"
        if result.uploaded
        else "nothing; the remote already has every file"
    )
    lines = [
        field("artifact", f"{result.name}:{result.version}, {short(result.digest)}"),
        field("remote", result.remote),
        field("aliases", ", ".join(result.aliases)),
        field("uploaded", size),
    ]
    return "\n".join(lines)


def pulled(result: Pulled) -> str:
    """Return what was pulled, and how the store names it."""
    count = _counted(result.downloaded, "file")
    size = (
        f"{count}, {_size(result.bytes)}"
        if result.downloaded
        else "nothing; the store already has it"
    )
    alias = "" if result.alias is None else f", {result.name}@{result.alias}"
    signed = "; signed by the required signer" if result.signed else ""
    lines = [
        field("artifact", f"{result.name}:{result.version}{alias}, {short(result.digest)}"),
        field("downloaded", f"{size}{signed}"),
        field("folder", result.artifact),
    ]
    return "\n".join(lines)


def remote_artifacts(artifacts: list[RemoteArtifact]) -> str:
    """Return a table of the artifacts of a remote."""
    rows = [
        [f"{item.name}:{item.version or '?'}", short(item.digest), ", ".join(item.aliases)]
        for item in artifacts
    ]
    return write_out(table(rows)) if rows else "no artifacts"


def tagged(changes: list[TagChange]) -> str:
    """Return the tags that were set and removed."""
    return "\n".join(map(_tag_change, changes)) or "nothing changed"


def pruned(report: PruneReport) -> str:
    """Return the artifacts that were removed, and how much that frees."""
    rows = [
        [f"{item.name}:{item.version or '?'}", short(item.digest), _size(item.bytes)]
        for item in report.removed
    ]
    verb = "would free" if report.dry_run else "freed"
    counted = _counted(len(report.removed), "artifact")
    summary = f"{counted} {verb} {_size(report.bytes)}, {report.kept} kept"
    return "\n".join([*([table(rows, numbers=1)] if rows else []), summary])


def _size(count: int) -> str:
    size, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB"):
        if size >= 1024:
            size, unit = size / 1024, larger
    return f"{size:.3g} {unit}" if size < 1000 else f"{size:,.0f} {unit}"


def tag_lines(tags: Mapping[str, str]) -> list[str]:
    """Return a line for each tag."""
    return [write_out(f"{key}={value}") for key, value in tags.items()] or ["no tags"]


def _tag_change(change: TagChange) -> str:
    before = "" if change.before is None else f", before {change.before}"
    if change.value is None:
        return write_out(f"removed {change.key}{before}")
    return write_out(f"{change.key}={change.value}{before}")


def history(entries: list[HistoryEntry]) -> str:
    """Return a line for each event, with its message and its evidence."""
    if not entries:
        return "no events"
    lines = []
    for entry in entries:
        when = entry.when[:19].replace("T", " ")
        by = f", by {entry.by}" if entry.by else ""
        lines.append(paragraph(write_out(f"{when}  {_event(entry)}{by}"), hanging=" " * 23))
        if entry.message:
            lines.append(paragraph(write_out(entry.message), indent=" " * 23))
        if entry.evidence is not None:
            lines.append(paragraph(write_out(_evidence(entry.evidence)), indent=" " * 23))
        for move in entry.moves:
            lines.append(paragraph(write_out(_remote_move(move)), indent=" " * 23))
    return "\n".join(line for line in lines if line)


def _event(entry: HistoryEntry) -> str:
    version = f"version {entry.version}" if entry.version else short(entry.digest)
    if entry.event == "moved":
        verb = "rolled back" if entry.rollback else "moved"
        before = f", from {entry.instead_of_version}" if entry.instead_of_version else ""
        if len(over := entry.went_back_over) > 1:
            before += f", undoing {', '.join(map(str, over))}"
        return f"{entry.alias} {verb} to {version}{before}"
    if entry.event == "tagged":
        if entry.value is None:
            return f"{version} is no longer tagged {entry.key}={entry.before}"
        return f"{version} was tagged {entry.key}={entry.value}"
    if entry.event == "removed":
        reason = "" if entry.is_wanted else ", which did not verify"
        return f"{entry.alias} was removed from {version}{reason}"
    if entry.event == "pulled":
        return f"{version} was pulled from {entry.remote}"
    return f"{version} was {entry.event}"


def _remote_move(move: Promotion) -> str:
    message = f": {move.message}" if move.message else ""
    return f"in the remote, {move.alias} moved to it on {move.when[:10]}, by {move.by}{message}"


def _evidence(evidence: Evidence) -> str:
    parts = _headlines(evidence.metrics)
    if evidence.gates:
        passed = sum(isinstance(gate, dict) and gate.get("passed") is True
                     for gate in evidence.gates)  # fmt: skip
        parts.append(f"{passed} of {_counted(len(evidence.gates), 'gate')} passed")
    if evidence.signature is not None:
        parts.append("signed by the required signer" if evidence.signers else "signed")
    return ", ".join(parts)


def named_at(results: list[AliasAt]) -> str:
    """Return what each alias named at a time."""
    lines = []
    for result in results:
        label = f"{result.name}@{result.alias}"
        if result.digest is None:
            lines.append(f"{label} named no version on {result.at}")
            continue
        version = f"version {result.version}, " if result.version else ""
        span = f"since {result.since}" + (f" until {result.until}" if result.until else "")
        lines.append(f"{label} was {version}{short(result.digest)}, {span}")
    return "\n".join(lines) or "no alias was moved"


def _version(name: str, version: int | None) -> str:
    if version is None:
        return f"none of {name}; run artifact-pipeline doctor --repair to number it"
    return f"{name}:{version}"


def listed(artifacts: list[Listed], runs: list[PastRun], *, count: int) -> str:
    """Return a line for each artifact, and for each of the newest of `count` runs."""
    if not artifacts and not runs:
        return "0 artifacts; train one: artifact-pipeline run"
    lines = [_counted(len(artifacts), "artifact")]
    rows = []
    for artifact in artifacts:
        if artifact.metrics is not None:
            [score, *_] = _headlines(artifact.metrics.test)
            name = truncated(write_out(artifact.name or ""), 16)
            version = f"{name}:{artifact.version or '?'}"
            # The last step of a pipeline predicts.
            estimator = write_out((artifact.estimator or "").rpartition(" → ")[2])
            aliases = truncated(", ".join(artifact.aliases), 20)
            rows.append([artifact.digest[7:19], version, estimator, score, aliases])
    # The indent and the gaps between five columns take ten more.
    taken = 10 + sum(max((width_of(row[i]) for row in rows), default=0) for i in (0, 1, 3, 4))
    rows = [[*row[:2], truncated(row[2], max(8, WIDTH - taken)), *row[3:]] for row in rows]
    lines += [table(rows)] if rows else []
    lines += [
        paragraph(
            f"{artifact.digest[7:19]}  broken: {short(write_out(artifact.broken or ''))}",
            hanging=" " * 16,
        )
        for artifact in artifacts
        if artifact.metrics is None
    ]
    lines += ["", f"{_counted(count, 'run')}, newest first"]
    rows = [
        [
            truncated(write_out(run.run), 30),
            truncated(write_out(run.outcome), 11),
            write_out((run.artifact or "")[7:19]),
            "cached" if run.cached else "",
            # The end of a path is more informative than its start.
            truncated(write_out(run.config)[::-1], 13)[::-1],
        ]
        for run in runs
    ]
    lines += [table(rows, gap=1)] if rows else []
    if count > len(runs):
        lines.append(f"  … and {count - len(runs)} more; --json shows all")
    return "\n".join(lines)


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


def examined(report: HealthReport) -> str:
    """Return the findings in a store."""
    lines = [f"{report.store}: {_counted(report.artifacts, 'artifact')} verified, "
             f"{_counted(report.runs, 'run')} recorded"]  # fmt: skip
    for finding in report.findings:
        done = (
            click.style("done", fg="green") if finding.repaired else click.style("to do", fg="red")
        )
        lines.append(paragraph(f"{write_out(finding.path)}: {write_out(finding.wrong)}"))
        lines.append(paragraph(f"{done}: {write_out(finding.remedy)}", indent="    "))
    return "\n".join(lines if report.findings else [*lines, "  no problems found"])


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _metrics(metrics: Metrics, *, baseline: Metrics | None = None) -> list[str]:
    train, test, cv = metrics.train or {}, metrics.test, metrics.cv or {}
    dummy = {} if baseline is None else baseline.test
    folds = max(len(spread.folds) for spread in cv.values()) if cv else 0
    optional = [*([f"{folds} folds"] if cv else []), *(["baseline"] if dummy else [])]
    rows = [["", *(["training"] if train else []), "held-out", *optional]]
    for name in [*BY_NAME, *sorted((train.keys() | test.keys()) - BY_NAME.keys())]:
        values = (train.get(name), test.get(name))
        left, right = ("" if value is None else figure(value) for value in values)
        if left or right:
            spread = f"{figure(cv[name].mean)} ± {figure(cv[name].std)}" if name in cv else ""
            row = [truncated(write_out(title(name)), 24), *([left] if train else []),
                   click.style(right, bold=True)]  # fmt: skip
            below = figure(dummy[name]) if name in dummy else ""
            rows.append([*row, *([spread] if cv else []), *([below] if dummy else [])])
    lines = table(rows, numbers=len(rows[0]) - 1, gap=4).splitlines()
    for name, part in (metrics.slices or {}).items():
        scores = ", ".join(_headlines(part.metrics))
        text = f"slice {write_out(name)}, {part.rows} held-out rows: {scores}"
        lines.append(paragraph(text, hanging="    "))
    return lines


def _headlines(metrics: Mapping[str, float]) -> list[str]:
    return [
        f"{metric.title} {figure(metrics[metric.name])}"
        for metric in METRICS
        if metric.headline and metric.name in metrics
    ]


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
    return _gates(verdicts)[1:]


def _gates(verdicts: list[Verdict]) -> list[str]:
    lines = [""] if verdicts else []
    for verdict in verdicts:
        word, colour = ("passed", "green") if verdict.passed else ("MISSED", "red")
        if not verdict.judged:
            word, colour = "NOT JUDGED", "yellow"
        outcome = click.style(word, fg=colour, bold=word != "passed")
        note = short(verdict.note or "")
        sign = "+" if verdict.margin >= 0 else ""
        by = f": {note}" if note else f" by {sign}{figure(verdict.margin)}"
        rule = f"gate  {write_out(_rule(verdict))}  {figure(verdict.value)}  "
        lines.append(paragraph(rule + outcome + write_out(by), hanging=" " * 8))
    return lines


def _rule(verdict: Verdict) -> str:
    if verdict.comparison is not None:
        return f"{verdict.metric} {verdict.comparison}"
    sign = {"min": "≥", "max": "≤"}[verdict.bound]
    return f"{verdict.metric} {sign} {verdict.limit:,.10g}"


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


def _count(result: Prediction) -> int:
    return len(result.labels if result.labels is not None else result.predictions or [])


def _prediction(result: Prediction, row: int) -> list[str]:
    label = truncated(write_out(str((result.labels or [])[row])), 40)
    if result.probabilities is None:
        return [label]
    return [label, f"{max(result.probabilities[row]):.4f}"]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else figure(value)
