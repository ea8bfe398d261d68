"""What a person reads: a screen for each answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click
import msgspec

from artifact_pipeline.builder.artifact.manifest import Metrics
from artifact_pipeline.builder.escapes import write_out
from artifact_pipeline.builder.metric_table import BY_NAME, METRICS, title
from artifact_pipeline.cli import output

if TYPE_CHECKING:
    from artifact_pipeline.inference.predict import Prediction
    from artifact_pipeline.pipeline.draft_config import Draft
    from artifact_pipeline.pipeline.evaluate import Evaluated
    from artifact_pipeline.pipeline.gates import Verdict
    from artifact_pipeline.pipeline.import_model import Sealed
    from artifact_pipeline.pipeline.record import Run
    from artifact_pipeline.pipeline.reproduce import Reproduction
    from artifact_pipeline.store.check import HealthReport
    from artifact_pipeline.store.journal import PastRun, Promotion
    from artifact_pipeline.store.queries import Difference, Listed, Shown

RUNS = 20
"""How many runs are listed."""
SAMPLES = 10
"""How many predictions of held-out rows are shown."""


def answer(found: Any, as_json: bool, view: Callable[[Any], str]) -> None:
    """Print what a function found, as JSON, or by a view below for a person."""
    if as_json:
        output.document(found)
    else:
        output.text(view(found))


def ran(run: Run) -> str:
    """Return the metrics, gates and names of a run."""
    return "\n".join(
        [
            "",
            *_metrics(run.metrics),
            *_gates(run.gates),
            "",
            _field("artifact", run.artifact),
            _field("digest", run.digest),
            _field("recipe", run.recipe_digest),
            _field("report", run.report),
        ]
    )


def evaluated(found: Evaluated) -> str:
    """Return metrics that were measured anew, and gates."""
    lines = [_field("digest", found.digest), ""]
    lines += _metrics(msgspec.convert(found.metrics, Metrics))
    return "\n".join([*lines, *_gates(found.gates)])


def predicted(found: Prediction) -> str:
    """Return a line for each given row; of held-out rows how good they are, and some samples."""
    rows = len(found.labels if found.labels is not None else found.predictions or [])
    if found.truth is None:
        return "\n".join(_prediction(found, i) for i in range(rows))
    name, value = (
        ("accuracy", found.accuracy) if found.labels else ("mean absolute error", found.mae)
    )
    lines = [f"{name} on the {rows} held-out rows: {value:.4f}", "", "  true    predicted"]
    for i in range(min(SAMPLES, rows)):
        right = found.labels is None or found.truth[i] == found.labels[i]
        line = f"  {write_out(str(found.truth[i])):<7} {_prediction(found, i)}"
        lines.append(line if right else f"{line}   wrong")
    return "\n".join(lines)


def remarks(found: Prediction) -> list[str]:
    """Return what is to be said of given rows beside their predictions."""
    said = (
        [f"not taken by the model: {', '.join(map(write_out, found.extra))}"] if found.extra else []
    )
    for name, rows in found.unseen.items():
        said.append(f"column {write_out(name)}: {rows} rows with a text that the model never saw")
    return said


def sealed(found: Sealed) -> str:
    """Return the metrics and names of a model that was brought."""
    names = ("artifact", "digest", "report")
    fields = (_field(name, str(getattr(found, name))) for name in names)
    return "\n".join([*_metrics(found.metrics), "", *fields])


def drafted(found: Draft, path: str) -> str:
    """Return each choice of a config, and what to do with it."""
    lines = [f"  · {write_out(one)}" for one in found.choices]
    return "\n".join(
        [*lines, "", f"{write_out(path)} is written; artifact-pipeline run {write_out(path)}"]
    )


def written(found: Prediction, path: str) -> str:
    """Return what was written where."""
    rows = len(found.labels if found.labels is not None else found.predictions or [])
    return f"{rows} predictions in {write_out(path)}, by {found.digest}"


def shown(found: Shown) -> str:
    """Return all that is known of an artifact."""
    from artifact_pipeline.builder.artifact import describe

    manifest = found.manifest
    made = manifest.recipe
    lines = [
        click.style(f"{describe.title(made)} on {write_out(made.data.title)}", bold=True),
        f"{manifest.interface.target()}, {len(manifest.interface.features)} features, "
        f"{manifest.split.said()}",
        "",
        *_metrics(manifest.metrics),
        "",
        "made from",
        _field("data", f"{made.data.title}, {made.data.digest}"),
        *(_field("estimator", line) for line in describe.estimators(made, found.chosen)),
        _field("split", made.split.settings()),
        _field("code", made.code),
        _field("packages", ", ".join(f"{k} {v}" for k, v in made.packages.items())),
        _field("platform", f"{made.platform.system} {made.platform.machine}, "
               f"{made.platform.libc}, Python {made.platform.python}"),
        _field("profile", made.numerics.profile),
        "",
        "checked",
        _field("files", f"all {len(manifest.files) + 1} verified just now"),
        _field("parity", manifest.parity.claim(bool(manifest.interface.labels))),
        *([_field("form", str(manifest.parity.reason))] if manifest.parity.reason else []),
        *_provenance(found.record),
        "",
        _field("artifact", found.folder),
        _field("digest", found.digest),
        _field("recipe", manifest.recipe_digest),
        _field("aliases", ", ".join(found.aliases) or "none"),
        *(_field(one.alias, _move(one, found.digest)) for one in found.promotions),
    ]  # fmt: skip
    return "\n".join(lines)


def promoted(move: Promotion) -> str:
    """Return what an alias names now, and what it named before."""
    before = f"\n  instead of {move.instead_of}" if move.instead_of else ""
    return f"{move.alias} is {move.digest}{before}"


def listed(artifacts: list[Listed], runs: list[PastRun]) -> str:
    """Return the artifacts, then the runs, a line each."""
    lines = [f"{len(artifacts)} artifacts"]
    for one in artifacts:
        name = f"  {one.digest[7:19]}  "
        if one.metrics is None:
            lines.append(name + click.style(f"broken: {write_out(one.broken or '')}", fg="red"))
            continue
        aliases = f"  ({', '.join(one.aliases)})" if one.aliases else ""
        [score, *_] = _headlines(one.metrics.test)
        what = write_out(f"{one.estimator} on {one.dataset}")
        lines.append(f"{name}{what:<40} held-out {score}{aliases}")
    lines += ["", f"{len(runs)} runs, the newest first"]
    for run in runs[:RUNS]:
        digest = write_out((run.artifact or "")[7:19])
        cached = "cached" if run.cached else ""
        lines.append(
            f"  {write_out(run.run):<34} {write_out(run.outcome):<12} {digest:<12} "
            f"{cached:<7} {write_out(run.config)}".rstrip()
        )
    if len(runs) > RUNS:
        lines.append(f"  … and {len(runs) - RUNS} more, all of them with --json")
    return "\n".join(lines)


def differences(found: list[Difference]) -> str:
    """Return a line for each field that differs."""
    if not found:
        return "recipe and metrics are the same"
    width = min(max(len(one.field) for one in found), 50)
    return "\n".join(
        f"  {write_out(one.field):<{width}}  {_value(one.a)} → {_value(one.b)}" for one in found
    )


def reproduced(found: Reproduction) -> str:
    """Return the answer, and what may have caused another than `identical`."""
    if found.result == "identical":
        answer = click.style("identical", fg="green", bold=True)
        return f"{answer}: made again from its recipe alone, to the byte\n  {found.digest}"
    colour = "yellow" if found.result == "same-predictions" else "red"
    lines = [
        click.style(found.result, fg=colour, bold=True),
        _field("then", found.digest),
        _field("now", found.rebuilt_digest),
        _field("files", ", ".join(found.files)),
    ]
    if found.rows:
        first = ", ".join(map(str, found.rows[:10]))
        lines.append(_field("rows", f"{len(found.rows)} predicted otherwise: {first}"))
        lines.append(_field("labels", f"{found.labels} of them by another label"))
    if found.apart is not None:
        lines.append(_field("apart", f"probabilities differ by {found.apart:.2g} at the most"))
    lines += [_field("suspect", one) for one in found.suspects]
    if any(one.startswith(("numerics", "platform")) for one in found.suspects):
        lines.append(_field("expected", "bytes are promised under one profile and platform only"))
    if found.install:
        lines += ["", "  to match the packages, or with --with-packages:", f"  {found.install}"]
    return "\n".join(lines)


def examined(found: HealthReport) -> str:
    """Return what is wrong with a store, one finding after the other."""
    lines = [f"{found.store}: {found.artifacts} artifacts verify"]
    for one in found.findings:
        done = click.style("done", fg="green") if one.repaired else click.style("to do", fg="red")
        lines += [f"  {write_out(one.path)}: {write_out(one.wrong)}", f"    {done}: {one.remedy}"]
    return "\n".join(lines if found.findings else [*lines, "  nothing is wrong"])


def _metrics(metrics: Metrics) -> list[str]:
    train, test, cv = metrics.train or {}, metrics.test, metrics.cv or {}
    folds = max(len(one.folds) for one in cv.values()) if cv else 0
    last = f"{f'{folds} folds':>20}" if cv else ""
    lines = [f"  {'':<20}{'training':>10}{'held-out':>12}{last}"]
    for name in [*BY_NAME, *sorted((train.keys() | test.keys()) - BY_NAME.keys())]:
        values = (train.get(name), test.get(name))
        left, right = ("" if value is None else f"{value:.4f}" for value in values)
        if left or right:
            held = click.style(f"{right:>12}", bold=True)
            over = f"{cv[name].mean:.4f} ± {cv[name].std:.4f}" if name in cv else ""
            line = f"  {write_out(title(name)):<20}{left:>10}{held}{over:>20}"
            lines.append(line if over else line.rstrip())
    for name, one in (metrics.slices or {}).items():
        scores = ", ".join(_headlines(one.metrics))
        lines.append(f"  slice {write_out(name)}, {one.rows} held-out rows: {scores}")
    return lines


def _headlines(metrics: Mapping[str, float]) -> list[str]:
    return [
        f"{metric.title} {metrics[metric.name]:.4f}"
        for metric in METRICS
        if metric.headline and metric.name in metrics
    ]


def _gates(verdicts: list[Verdict]) -> list[str]:
    lines = [""] if verdicts else []
    for verdict in verdicts:
        word, colour = ("passed", "green") if verdict.passed else ("MISSED", "red")
        outcome = click.style(word, fg=colour, bold=not verdict.passed)
        by = f": {verdict.note}" if verdict.note else f" by {verdict.margin:+.4f}"
        lines.append(f"  gate  {rule(verdict):<28} {verdict.value:.4f}  {outcome}{write_out(by)}")
    return lines


def rule(verdict: Verdict) -> str:
    """Return what a gate asks for."""
    if verdict.bound == "not_worse_than":
        return f"{verdict.metric} not worse than {verdict.alias}"
    sign = {"min": "≥", "max": "≤"}[verdict.bound]
    return f"{verdict.metric} {sign} {verdict.limit:g}"


def _move(move: Promotion, digest: str) -> str:
    verb = "since" if move.digest == digest else "until"
    return f"{verb} {move.when}, by {move.by}"


def _provenance(record: PastRun | None) -> list[str]:
    if record is None:
        return [_field("run", "no record of it in this store")]
    git = record.git or {}
    commit = str(git.get("commit", "no git repository"))
    lines = [_field("run", f"{record.run}, {record.outcome}")]
    lines.append(_field("commit", commit + (", with changes" if git.get("dirty") else "")))
    return lines + [_field("warning", warning) for warning in record.warnings]


def _prediction(found: Prediction, i: int) -> str:
    if found.predictions is not None:
        return f"{found.predictions[i]:.6g}"
    label = write_out(str((found.labels or [])[i]))
    if found.probabilities is None:
        return label
    return f"{label:<9} {max(found.probabilities[i]):.4f}"


def _field(name: str, value: str) -> str:
    return f"  {name:<10} {write_out(value)}"


def _value(value: Any) -> str:
    return click.style("absent", dim=True) if value is None else write_out(str(value))
