"""The commands: each calls one function of the package and shows its result."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

import artifact_pipeline as api
from artifact_pipeline.builder.config.loader import DEFAULT_PATH
from artifact_pipeline.cli import github, options, output, render, trust
from artifact_pipeline.cli.serve import serve
from artifact_pipeline.errors import CallError, Location


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(api.__version__, message="%(version)s")
def group() -> None:
    """Train scikit-learn models from JSON configs into sealed artifacts.

    ARTIFACT is a folder, an alias such as latest, or the first eight or more hex digits of a
    digest.
    """


@group.command()
@options.CONFIG
@click.option("--tests", metavar="PATH", help="Run pytest on this path first.")
@options.GATES
@options.FORCE
@options.STORE
@options.JSON
def run(as_json: bool, **arguments: Any) -> None:
    """Run the pipeline of CONFIG: test, train, inference.

    A job that fails stops those after it.
    """
    _run(api.run, as_json=as_json, arguments=arguments)


@group.command()
@options.CONFIG
@options.GATES
@options.FORCE
@options.STORE
@options.JSON
def train(as_json: bool, **arguments: Any) -> None:
    """Train the model of CONFIG into a sealed artifact."""
    _run(api.train, as_json=as_json, arguments=arguments)


@group.command()
@click.argument("artifact")
@click.option("--config", metavar="CONFIG", help="Check the gates of this config.")
@options.DATA
@options.trust_options
@options.STORE
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
    missed = [verdict for verdict in result.gates if not verdict.passed]
    if not (missed and as_json):  # otherwise the document of the error has the result
        render.answer(result, render.evaluated, as_json=as_json)
    if missed:
        problem = "; ".join(map(str, missed))
        raise api.GateMissed(problem, location=Location("gate"), run=result)


@group.command()
@click.argument("artifact")
@click.argument("rows", required=False)
@click.option("--output", "path", metavar="FILE", help="Write a table: .csv, .parquet or .jsonl.")
@options.DATA
@options.trust_options
@options.STORE
@options.JSON
def infer(
    artifact: str,
    rows: str | None,
    *,
    path: str | None,
    data: str | None,
    store: str | None,
    as_json: bool,
    **trusted: Any,
) -> None:
    """Predict the rows in the file ROWS, or the held-out rows.

    ROWS is a .csv, .json or .npy file, or for a model of a table a .csv, .parquet or .jsonl file;
    - reads standard input.
    """
    name = "standard input" if rows == "-" else rows or ""
    content = None if rows is None else _read(rows)
    result = api.infer(artifact, content, name=name, data=data, **options.trust(trusted, store))
    for remark in render.remarks(result):
        output.say(remark)
    if path is not None:
        api.write_predictions(result, path)
    if as_json or path is None:
        render.answer(result, render.predicted, as_json=as_json)
    else:
        output.text(render.written(result, path))


@group.command()
@click.argument("artifact")
@options.STORE
@options.JSON
def show(artifact: str, store: str | None, *, as_json: bool) -> None:
    """Show the recipe, metrics, checks and history of ARTIFACT."""
    render.answer(api.show(artifact, store=store), render.shown, as_json=as_json)


@group.command()
@click.argument("artifact")
@click.option("--output", "path", metavar="FILE", default="report.html", show_default=True,
              help="File to write.")  # fmt: skip
@options.STORE
@options.JSON
def report(artifact: str, path: str, *, store: str | None, as_json: bool) -> None:
    """Write the report of ARTIFACT as one self-contained HTML file."""
    digest = api.write_report(artifact, path, store=store)
    if as_json:
        output.document({"digest": digest, "report": path})
    else:
        output.text(f"wrote {path}: the report of {digest}")


@group.command(name="list")
@options.STORE
@options.JSON
def list_(store: str | None, as_json: bool) -> None:
    """List the artifacts and runs of a store."""
    artifacts, runs = api.artifacts(store=store), api.runs(store=store)
    if as_json:
        output.document({"artifacts": artifacts, "runs": runs})
    else:
        output.text(render.listed(artifacts, runs))


@group.command()
@click.argument("a")
@click.argument("b")
@options.STORE
@options.JSON
def diff(a: str, b: str, *, store: str | None, as_json: bool) -> None:
    """Compare the recipes and metrics of two artifacts."""
    differences = api.diff(a, b, store=store)
    if as_json:
        output.document({"a": a, "b": b, "differences": differences})
    else:
        output.text(render.differences(differences))


@group.command()
@click.argument("artifact")
@click.option("--strict", is_flag=True,
              help="Fail unless every byte is identical, even if predictions match.")  # fmt: skip
@click.option("--with-packages", is_flag=True,
              help="Train in a scratch environment with the packages of the recipe.")  # fmt: skip
@options.DATA
@options.trust_options
@options.STORE
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
        render.answer(result, render.reproduced, as_json=as_json)
    if failed:
        problem = f"{result.result}: {result.digest} was not reproduced"
        raise api.ReproductionDiffers(problem, location=Location(artifact), run=result)


@group.command()
@options.CONFIG
@options.JSON
def recipe(config: str, as_json: bool) -> None:
    """Print the recipe of CONFIG and its digest, without training."""
    from artifact_pipeline.pipeline.plan import planned

    with planned(config) as (plan, _):
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
@click.option("--pickle", "path", metavar="FILE", required=True, help="Pickled fitted estimator.")
@click.option("--digest", metavar="sha256:…", required=True,
              help="Digest of that file. Opening a pickle runs the code in it.")  # fmt: skip
@click.option("--data", metavar="PATH", required=True, help="Table to measure the model on.")
@click.option("--target", metavar="COLUMN", required=True,
              help="Column with the true labels or numbers.")  # fmt: skip
@click.option("--positive", metavar="LABEL", help="The positive one of two labels.")
@options.STORE
@options.JSON
def seal(
    path: str,
    digest: str,
    data: str,
    target: str,
    positive: str | None,
    store: str | None,
    as_json: bool,
) -> None:
    """Seal a scikit-learn estimator that was fitted elsewhere."""
    from artifact_pipeline.pipeline.import_model import seal_pickle

    result = seal_pickle(path, digest, data=data, target=target, positive=positive, store=store)
    render.answer(result, render.sealed, as_json=as_json)


@group.command()
@click.argument("data")
@click.option("--target", metavar="COLUMN", required=True, help="Column to predict.")
@click.option("--model", metavar="NAME",
              help="Estimator, such as RandomForestClassifier [default: linear].")  # fmt: skip
@click.option("--id", metavar="COLUMN", help="Column that identifies a row.")
@click.option("--group", metavar="COLUMN", help="Keep its values on one side of the split.")
@click.option("--time", metavar="COLUMN", help="Hold out the latest rows by this column.")
@click.option("--day-first/--month-first", default=None, help="How to read 03/04/2026.")
@click.option("--output", "path", metavar="FILE", default=DEFAULT_PATH, show_default=True,
              help="Config to write; - for standard output.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace the config if it exists.")
@options.JSON
def init(
    data: str, target: str, *, path: str, overwrite: bool, as_json: bool, **arguments: Any
) -> None:
    """Draft a config for the table DATA and explain each choice.

    Shows each column of the table and what becomes of it.
    """
    to_stdout = path == "-"
    folder = Path() if to_stdout else Path(path).parent
    draft = api.draft(data, target, base=folder, **arguments)
    if draft.ambiguous_dates and not as_json and _is_interactive():
        question = f"{render.ambiguous(draft)} Is the day first?"
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
        for line in render.drafted(draft).splitlines():
            output.say(line)
    else:
        output.text(f"{render.drafted(draft)}\n\n{render.wrote(path)}")


@group.command()
@click.option("--json", "as_json", is_flag=True, help="Accepted; a schema is JSON anyway.")
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
        if not as_json:
            output.text(render.ran(missed.run))
        raise
    github.publish(result)
    for warning in result.warnings:
        output.say(f"warning: {warning}")
    render.answer(result, render.ran, as_json=as_json)


def _is_interactive() -> bool:
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def _read(rows: str) -> bytes:
    if rows == "-" and sys.stdin is None:
        problem = "rows cannot be read: it is closed"
        raise CallError(problem, location=Location("standard input"))
    if rows == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(rows).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CallError(f"rows cannot be read: {reason}", location=Location(rows)) from error


for command in (serve, trust.verify, trust.sign, trust.trust, trust.promote, trust.doctor):
    group.add_command(command)
for command in (group, *group.commands.values()):
    command.params.append(options.verbose_option())
