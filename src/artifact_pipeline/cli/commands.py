"""The commands: each calls one function of the package and shows its result."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import artifact_pipeline as api
from artifact_pipeline.builder.config.source import DEFAULT_PATH, check_extension
from artifact_pipeline.builder.data import remote_files
from artifact_pipeline.builder.data.table_files import check_is_file
from artifact_pipeline.cli import completion, github, options, output
from artifact_pipeline.cli.group import Group
from artifact_pipeline.cli.layout import short
from artifact_pipeline.cli.render.artifacts import reproduced, sealed, shown
from artifact_pipeline.cli.render.drafts import ambiguous, drafted, wrote
from artifact_pipeline.cli.render.predictions import (
    file_remarks,
    predicted,
    remarks,
    written,
    written_files,
)
from artifact_pipeline.cli.render.runs import RUNS, evaluated, listed, ran
from artifact_pipeline.disk import write_atomically
from artifact_pipeline.errors import CallError, Location
from artifact_pipeline.exports.formats import TRACKING_URI_ENV_VAR

if TYPE_CHECKING:
    from artifact_pipeline.pipeline.gates import Verdict

_EXAMPLE = {
    "data": {"dataset": "digits"},
    "split": {"test_size": 0.2, "random_state": 42, "stratify": True},
    "model": {
        "estimator": "sklearn.linear_model.LogisticRegression",
        "params": {"C": 1.0, "max_iter": 1000, "random_state": 42},
    },
    "gates": {"test.accuracy": {"min": 0.9}},
}


_MODULES = {
    "board": "board",
    "comment": "comment",
    "completion": "completion",
    "export": "export",
    "runs": "runs",
    "serve": "serve",
    **dict.fromkeys(("pull", "push", "remote"), "remote"),
    **dict.fromkeys(("history", "promote", "prune", "rollback", "tag"), "registry"),
    **dict.fromkeys(("doctor", "sign", "trust", "verify"), "trust"),
}
"""The modules of commands that are imported when they are called; the others are in `commands`."""


@click.group(cls=Group, modules=_MODULES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(api.__version__, message="%(version)s")
def group() -> None:
    """Train scikit-learn models from JSON configs into sealed artifacts.

    ARTIFACT is NAME@ALIAS such as churn@champion, NAME:VERSION such as churn:3, an alias such as
    latest, the first eight or more hex digits of a digest, or a folder.
    """


@group.command()
@options.CONFIG
@click.option("-t", "--tests", metavar="PATH", shell_complete=completion.file,
              help="Run pytest on this path first.")  # fmt: skip
@click.option("--example", is_flag=True, help="Write an example to CONFIG first.")
@options.TABLE
@options.GATES
@options.FORCE
@options.engine("run the fits of a search or a cross-validation")
@options.SCHEDULER
@options.STORE
@options.JSON
def run(example: bool, as_json: bool, **arguments: Any) -> None:
    """Run the pipeline of CONFIG: test, train, inference.

    CONFIG is a JSON file [default: config/config.json]. If a job fails, later ones do not run.
    """
    if example:
        _write_example(arguments["config"])
    _run(api.run, as_json=as_json, arguments=arguments)


@group.command()
@options.CONFIG
@options.TABLE
@options.GATES
@options.FORCE
@options.engine("run the fits of a search or a cross-validation")
@options.SCHEDULER
@options.STORE
@options.JSON
def train(as_json: bool, **arguments: Any) -> None:
    """Train the model of CONFIG into a sealed artifact.

    CONFIG is a JSON file [default: config/config.json].
    """
    _run(api.train, as_json=as_json, arguments=arguments)


@group.command()
@options.ARTIFACT
@click.option("-c", "--config", metavar="CONFIG", shell_complete=completion.file,
              help="Check the gates of this config.")  # fmt: skip
@options.DATA
@options.trust_options
@options.STORE_TO_READ
@options.JSON
def evaluate(
    artifact: str,
    config: str | None,
    *,
    data: str | None,
    store: str | None,
    as_json: bool,
    **trusted: Any,
) -> None:
    """Measure ARTIFACT again on its held-out rows."""
    result = api.evaluate(artifact, config, data=data, **options.trust(trusted, store))
    _warn(result.gates, [])
    missed = [verdict for verdict in result.gates if not verdict.passed]
    if not (missed and as_json):  # otherwise the document of the error has the result
        output.answer(result, evaluated, as_json=as_json)
    if missed:
        problem = "; ".join(map(str, missed))
        raise api.GateMissed(problem, location=Location("gate"), run=result)


@group.command()
@options.ARTIFACT
@click.argument("rows", required=False, shell_complete=completion.file)
@click.option("-o", "--output", "path", metavar="FILE", shell_complete=completion.file,
              help="Write a table: .csv, .parquet, .jsonl or .arrow; a folder for a folder of "
              "rows; - for standard output.")  # fmt: skip
@click.option("--keep", metavar="COLUMN", multiple=True,
              help="Column of ROWS to carry over; repeatable.")  # fmt: skip
@click.option("--on-error", type=click.Choice(["fail", "skip"]), default="fail",
              show_default=True, help="What to do with rows that cannot be read.")  # fmt: skip
@click.option("--resume", is_flag=True,
              help="Continue an output that was interrupted.")  # fmt: skip
@options.engine("predict the parts of a folder")
@options.SCHEDULER
@options.DATA
@options.trust_options
@options.STORE_TO_READ
@options.JSON
def infer(
    artifact: str,
    rows: str | None,
    *,
    path: str | None,
    keep: tuple[str, ...],
    on_error: str,
    resume: bool,
    engine: str,
    scheduler: str | None,
    data: str | None,
    store: str | None,
    as_json: bool,
    **trusted: Any,
) -> None:
    """Predict the rows in the file ROWS, or the held-out rows.

    ROWS is a .csv, .json or .npy file; for a model of a table, a .csv, .parquet or .jsonl file.
    - reads standard input. With --output, ROWS can have any size, and can also be .arrow, a folder
    of parts, or a pattern such as 'parts/*.csv'.
    """
    from artifact_pipeline.inference.output import check_name

    how: dict[str, Any] = {"keep": keep, "on_error": on_error, "resume": resume}
    how |= {"engine": engine, "scheduler": scheduler}
    if rows is not None and path is not None:
        how |= options.trust(trusted, store)
        _infer_files(artifact, rows, path=path, as_json=as_json, options=how)
        return
    defaults = {"keep": (), "on_error": "fail", "resume": False}
    defaults |= {"engine": "local", "scheduler": None}
    for option, value in how.items():
        if value != defaults[option]:
            name = f"--{option.replace('_', '-')}"
            raise CallError("needs ROWS and --output", location=Location(name))
    name = "standard input" if rows == "-" else rows or ""
    if path is not None:
        check_name(path)
        inputs = [data]
        if data is None and os.path.lexists(path):
            record = api.show(artifact, store=store).record
            inputs.append(record.data if record else None)
        _check_not_input(path, inputs)
    content = None if rows is None else _read(rows)
    result = api.infer(artifact, content, name=name, data=data, **options.trust(trusted, store))
    for remark in remarks(result):
        output.say(remark)
    if path is not None:
        api.write_predictions(result, path)
    if as_json or path is None:
        output.answer(result, predicted, as_json=as_json)
    else:
        output.text(written(result, path))


def _infer_files(
    artifact: str, rows: str, *, path: str, as_json: bool, options: dict[str, Any]
) -> None:
    if path == "-" and as_json:
        problem = "both write to standard output"
        raise CallError(problem, location=Location("--output - and --json"))
    is_free = path != "-" or sys.stdout is None or not sys.stdout.isatty()
    with output.progress("infer", is_free=is_free) as report:
        result = api.infer_files(artifact, rows, output=path, report=report, **options)
    for remark in file_remarks(result):
        output.say(remark)
    if as_json:
        output.document(result)
    elif path == "-":
        output.say(written_files(result))
    else:
        output.text(written_files(result))


@group.command()
@options.ARTIFACT
@options.STORE_TO_READ
@options.JSON
def show(artifact: str, store: str | None, *, as_json: bool) -> None:
    """Show the recipe, metrics, checks and history of ARTIFACT."""
    output.answer(api.show(artifact, store=store), shown, as_json=as_json)


@group.command()
@options.ARTIFACT
@click.option("-o", "--output", "path", metavar="FILE", default="report.html", show_default=True,
              shell_complete=completion.file, help="File to write.")  # fmt: skip
@options.STORE_TO_READ
@options.JSON
def report(artifact: str, path: str, *, store: str | None, as_json: bool) -> None:
    """Write the report of ARTIFACT as one self-contained HTML file."""
    digest = api.write_report(artifact, path, store=store)
    if as_json:
        output.document({"digest": digest, "report": path})
    else:
        output.text(f"wrote {path}: the report of {short(digest)}")


@group.command(name="list")
@options.STORE_TO_READ
@options.JSON
def list_(store: str | None, as_json: bool) -> None:
    """List the artifacts and runs of a store."""
    artifacts = api.artifacts(store=store)
    if as_json:
        output.document({"artifacts": artifacts, "runs": api.runs(store=store)})
    else:
        from artifact_pipeline.store.store import Store

        records = api.runs(limit=RUNS, store=store)
        count = Store(store).run_index.count()
        output.text(listed(artifacts, records, count=count))


@group.command()
@click.argument("a", shell_complete=completion.artifact)
@click.argument("b", shell_complete=completion.artifact)
@click.argument("others", metavar="[C]...", nargs=-1, shell_complete=completion.artifact)
@options.DATA
@options.STORE_TO_READ
@options.JSON
def compare(
    a: str,
    b: str,
    *,
    others: tuple[str, ...],
    data: str | None,
    store: str | None,
    as_json: bool,
) -> None:
    """Compare the recipes, metrics and predictions of artifacts.

    A paired test decides whether B and each C differ from A by more than chance.
    """
    from artifact_pipeline.cli.render.comparison import compared

    result = api.compare(a, b, *others, store=store, data=data)
    output.answer(result, compared, as_json=as_json)


@group.command()
@options.ARTIFACT
@click.option("--strict", is_flag=True,
              help="Fail unless every byte is identical, even if predictions match.")  # fmt: skip
@click.option("--with-packages", is_flag=True,
              help="Train in a scratch environment with the packages of the recipe.")  # fmt: skip
@options.DATA
@options.trust_options
@options.STORE_TO_READ
@options.JSON
def reproduce(
    artifact: str,
    strict: bool,
    *,
    with_packages: bool,
    data: str | None,
    store: str | None,
    as_json: bool,
    **trusted: Any,
) -> None:
    """Train ARTIFACT again from its recipe and compare the two."""
    result = api.reproduce(
        artifact, with_packages=with_packages, data=data, **options.trust(trusted, store)
    )
    failed = result.result == "differs" or (strict and result.result != "identical")
    if not (failed and as_json):
        output.answer(result, reproduced, as_json=as_json)
    if failed:
        problem = f"{result.result}: {short(result.digest)} was not reproduced"
        raise api.ReproductionDiffers(problem, location=Location(artifact), run=result)


@group.command()
@options.CONFIG
@options.TABLE
@options.JSON
def recipe(config: str, data: str | None, *, as_json: bool) -> None:
    """Print the recipe of CONFIG and its digest, without training.

    CONFIG is a JSON file [default: config/config.json].
    """
    from artifact_pipeline.pipeline.plan import planned

    with planned(config, data=data) as (plan, _):
        pass
    if plan.warning:
        output.say(f"warning: {plan.warning}")
    github.outputs({"recipe-digest": plan.recipe_digest})
    if as_json:
        output.document({"recipe": plan.recipe, "recipe_digest": plan.recipe_digest})
    else:
        output.document(plan.recipe)
        output.text(f"recipe {plan.recipe_digest}")


@group.command()
@click.argument("model", required=False, shell_complete=completion.file)
@click.option("--pickle", metavar="FILE", shell_complete=completion.file, hidden=True,
              help="Another way to write MODEL.")  # fmt: skip
@click.option("--digest", metavar="sha256:…",
              help="Digest of the estimator's file. Required, because opening the file can run "
              "code; without it, the error shows the digest to compare.")  # fmt: skip
@click.option("-d", "--data", metavar="PATH", required=True, shell_complete=completion.file,
              help="Table to measure the model on.")  # fmt: skip
@click.option("-t", "--target", metavar="COLUMN", required=True, shell_complete=completion.column,
              help="Column with the true labels or numbers.")  # fmt: skip
@click.option("-n", "--name", metavar="NAME",
              help="Name of the model [default: from the name of the table].")  # fmt: skip
@click.option("--description", metavar="TEXT", help="Text for the model card and the report.")
@click.option("--positive", metavar="LABEL", help="Positive one of the two labels.")
@click.option("--tracking-uri", metavar="URI",
              help=f"MLflow server of an mlflow: address [default: ${TRACKING_URI_ENV_VAR}].",
              )  # fmt: skip
@options.STORE
@options.JSON
def seal(
    model: str | None, digest: str | None, *, pickle: str | None, as_json: bool, **arguments: Any
) -> None:
    """Seal a scikit-learn estimator that was fitted elsewhere.

    MODEL is a pickle, joblib or skops file, the folder of an MLflow model, or its address on a
    server: mlflow:models:/NAME/VERSION, mlflow:models:/NAME@ALIAS or mlflow:runs:/ID/PATH.
    """
    from artifact_pipeline.pipeline.import_model import seal_saved

    source = model or pickle
    if source is None or (model and pickle):
        raise click.UsageError("name one MODEL: a file, the folder of an MLflow model, or mlflow:…")
    result = seal_saved(source, digest, **arguments)
    output.answer(result, sealed, as_json=as_json)


@group.command()
@click.argument("data", shell_complete=completion.file)
@click.option("-t", "--target", metavar="COLUMN", required=True, shell_complete=completion.column,
              help="Column to predict.")  # fmt: skip
@click.option("-m", "--model", metavar="NAME",
              help="Estimator, such as RandomForestClassifier [default: linear, or a "
              "random forest if clearly better].")  # fmt: skip
@click.option("--id", metavar="COLUMN", shell_complete=completion.column,
              help="Column that identifies a row.")  # fmt: skip
@click.option("--group", metavar="COLUMN", shell_complete=completion.column,
              help="Keep its values on one side of the split.")  # fmt: skip
@click.option("--time", metavar="COLUMN", shell_complete=completion.column,
              help="Hold out the latest rows by this column.")  # fmt: skip
@click.option("--day-first/--month-first", default=None, help="How to read 03/04/2026.")
@click.option("-o", "--output", "path", metavar="FILE", default=DEFAULT_PATH, show_default=True,
              shell_complete=completion.file,
              help="Config to write; - for standard output.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace the config if it exists.")
@options.JSON
def init(
    data: str, target: str, *, path: str, overwrite: bool, as_json: bool, **arguments: Any
) -> None:
    """Draft a config for the table DATA and explain each choice.

    DATA is a .csv, .parquet or .jsonl file, which may be packed, or a folder of them. The
    output shows each column and how the config uses it.
    """
    to_stdout = path == "-"
    if not to_stdout:
        check_extension(path)
        _check_not_input(path, [data])
    folder = Path() if to_stdout else Path(path).parent
    draft = api.draft(data, target, base=folder, **arguments)
    if draft.ambiguous_dates and not as_json and _is_interactive():
        question = f"{ambiguous(draft)} Is the day first?"
        arguments["day_first"] = click.confirm(question, err=True)
        draft = api.draft(data, target, base=folder, **arguments)
    if not to_stdout:
        folder.mkdir(parents=True, exist_ok=True)
        api.write_config(draft, path, overwrite=overwrite)
    if as_json:
        output.document(
            {
                "config": draft.config if to_stdout else path,
                "rows": draft.rows,
                "columns": draft.columns,
                "choices": draft.choices,
            }
        )
    elif to_stdout:
        output.document(draft.config)
        for line in drafted(draft).splitlines():
            output.say(line)
    else:
        output.text(f"{drafted(draft)}\n\n{wrote(path)}")


@group.command()
@click.option("--json", "as_json", is_flag=True, help="No effect: a schema is always JSON.")
def schema(as_json: bool) -> None:
    """Print the JSON Schema of configs."""
    output.document(api.schema())


def _run(pipeline: Callable[..., api.Run], *, as_json: bool, arguments: dict[str, Any]) -> None:
    """Run the jobs, show each, and show the result, also if a gate was missed."""
    progress = output.Progress(sys.stderr if as_json else sys.stdout)
    config = arguments.pop("config")
    try:
        result = pipeline(config, listener=progress, **arguments)
    except api.GateMissed as missed:
        github.publish(missed.run)
        _warn(missed.run.gates, [])
        if not as_json:
            output.text(ran(missed.run))
        raise
    github.publish(result)
    _warn(result.gates, result.warnings)
    output.answer(result, ran, as_json=as_json)


def _warn(gates: Sequence[Verdict], warnings: Sequence[str]) -> None:
    """Print warnings; those about gates that were not judged also become annotations."""
    from artifact_pipeline.pipeline.gates import unjudged

    about_gates = unjudged(gates)
    for warning in dict.fromkeys([*warnings, *about_gates]):
        output.say(f"warning: {warning}")
    for warning in about_gates:
        github.warn(warning, title="gate not judged")


def _is_interactive() -> bool:
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def _read(rows: str) -> bytes:
    if rows == "-" and sys.stdin is None:
        problem = "rows cannot be read: it is closed"
        raise CallError(problem, location=Location("standard input"))
    if rows == "-":
        return sys.stdin.buffer.read()
    if remote_files.is_remote(rows):
        with remote_files.open_file(rows) as file:
            return file.read()
    check_is_file(rows)
    try:
        return Path(rows).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CallError(f"rows cannot be read: {reason}", location=Location(rows)) from error


def _write_example(path: str) -> None:
    """Write a config that trains in seconds on a dataset of scikit-learn's.

    Raises:
        CallError: If the file exists.
    """
    if os.path.lexists(path):
        raise CallError(
            "exists already, and --example writes a new file",
            location=Location(path),
            remedy="run it without --example, or name another file",
        )
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_atomically(Path(path), (json.dumps(_EXAMPLE, indent=2) + "\n").encode())
    output.say(f"wrote {path}")


def _check_not_input(path: str, inputs: list[str | None]) -> None:
    """Check that the output file is not one of the inputs."""
    for name in inputs:
        is_same = False
        with suppress(OSError, ValueError):  # one of the two does not exist
            is_same = bool(name) and Path(path).samefile(str(name))
        if is_same:
            raise CallError(
                "is the input, and would be overwritten",
                location=Location(path),
                remedy="name another file with --output",
            )
