"""The commands, each a call of one function of the package and a way to show its answer."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

import artifact_pipeline as api
from artifact_pipeline.builder.config.loader import DEFAULT_PATH
from artifact_pipeline.cli import github, options, output, render, trust
from artifact_pipeline.cli.output import say, text
from artifact_pipeline.cli.serve import serve
from artifact_pipeline.errors import CallError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(api.__version__, message="%(version)s")
def group() -> None:
    """A scikit-learn model as one JSON file in, a sealed artifact out.

    ARTIFACT is a folder, an alias such as latest, or eight or more digits of a digest.
    """


@group.command()
@options.CONFIG
@click.option("--tests", metavar="PATH", help="Run pytest there first; a failure stops the rest.")
@options.GATES
@options.FORCE
@options.STORE
@options.JSON
def run(as_json: bool, **given: Any) -> None:
    """Test, train, inference: the whole pipeline on CONFIG."""
    _run(api.run, as_json, given)


@group.command()
@options.CONFIG
@options.GATES
@options.FORCE
@options.STORE
@options.JSON
def train(as_json: bool, **given: Any) -> None:
    """Train the model of CONFIG into a sealed artifact."""
    _run(api.train, as_json, given)


@group.command()
@click.argument("artifact")
@click.option("--config", metavar="CONFIG", help="Judge the gates of this config.")
@options.DATA
@options.trust_options
@options.STORE
@options.JSON
def evaluate(
    artifact: str,
    config: str | None,
    data: str | None,
    store: str | None,
    as_json: bool,
    **asked: Any,
) -> None:
    """Measure ARTIFACT anew on the held-out rows of its recipe."""
    found = api.evaluate(artifact, config, data=data, **options.trust(asked, store))
    missed = [verdict for verdict in found.gates if not verdict.passed]
    if not (missed and as_json):  # then the error's document holds what was found
        render.answer(found, as_json, render.evaluated)
    if missed:
        raise api.GateMissed("; ".join(map(str, missed)), run=found, where="gate")


@group.command()
@click.argument("artifact")
@click.argument("rows", required=False)
@click.option("--output", metavar="FILE", help="Write a table: .csv, .parquet or .jsonl.")
@options.DATA
@options.trust_options
@options.STORE
@options.JSON
def infer(
    artifact: str,
    rows: str | None,
    output: str | None,
    data: str | None,
    store: str | None,
    as_json: bool,
    **asked: Any,
) -> None:
    """Predict ROWS (a file; - for standard input), or the held-out rows.

    ROWS are .csv, .json or .npy, and of a table .csv, .parquet or .jsonl.
    """
    where = "standard input" if rows == "-" else rows or ""
    given = None if rows is None else _read(rows)
    found = api.infer(artifact, given, name=where, data=data, **options.trust(asked, store))
    for said in render.remarks(found):
        say(said)
    if output is not None:
        api.write_predictions(found, output)
    if as_json or output is None:
        render.answer(found, as_json, render.predicted)
    else:
        text(render.written(found, output))


@group.command()
@click.argument("artifact")
@options.STORE
@options.JSON
def show(artifact: str, store: str | None, as_json: bool) -> None:
    """Say what ARTIFACT is, what made it, and how good it is."""
    render.answer(api.show(artifact, store=store), as_json, render.shown)


@group.command()
@click.argument("artifact")
@click.option("--output", "path", metavar="FILE", help="Where to write it [default: report.html].")
@options.STORE
@options.JSON
def report(artifact: str, path: str | None, store: str | None, as_json: bool) -> None:
    """Write the report of ARTIFACT as one HTML file that needs nothing else."""
    place = path or "report.html"
    digest = api.write_report(artifact, place, store=store)
    if as_json:
        output.document({"digest": digest, "report": place})
    else:
        output.text(f"{place} shows {digest}")


@group.command(name="list")
@options.STORE
@options.JSON
def list_(store: str | None, as_json: bool) -> None:
    """List the artifacts and the runs of a store."""
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
def diff(a: str, b: str, store: str | None, as_json: bool) -> None:
    """Compare recipe and metrics of two artifacts."""
    found = api.diff(a, b, store=store)
    if as_json:
        output.document({"a": a, "b": b, "differences": found})
    else:
        output.text(render.differences(found))


@group.command()
@click.argument("artifact")
@click.option("--strict", is_flag=True, help="Other bytes are a no, though they predict the same.")
@click.option("--with-packages", is_flag=True, help="In a scratch environment of its packages.")
@options.DATA
@options.trust_options
@options.STORE
@options.JSON
def reproduce(
    artifact: str,
    strict: bool,
    with_packages: bool,
    data: str | None,
    store: str | None,
    as_json: bool,
    **asked: Any,
) -> None:
    """Make ARTIFACT again from its recipe alone, and compare."""
    found = api.reproduce(
        artifact, with_packages=with_packages, data=data, **options.trust(asked, store)
    )
    refused = found.result == "differs" or (strict and found.result != "identical")
    if not (refused and as_json):
        render.answer(found, as_json, render.reproduced)
    if refused:
        raise api.ReproductionDiffers(
            f"{found.result}: {found.digest} was not made again", run=found, where=artifact
        )


@group.command()
@options.CONFIG
@options.JSON
def recipe(config: str, as_json: bool) -> None:
    """Print the recipe that CONFIG comes to, and its digest, without training."""
    from artifact_pipeline.builder.recipe import digest
    from artifact_pipeline.pipeline.plan import plan

    planned = plan(config)
    if planned.trainer:
        planned.trainer.close()
    if planned.warning:
        say(f"warning: {planned.warning}")
    made = planned.recipe
    github.outputs({"recipe-digest": digest(made)})
    if as_json:
        output.document({"recipe": made, "recipe_digest": digest(made)})
    else:
        output.document(made)
        output.text(f"recipe {digest(made)}")


@group.command()
@click.option("--pickle", "path", metavar="FILE", required=True, help="A fitted estimator.")
@click.option("--digest", metavar="sha256:…", required=True, help="Of that file: it is opened.")
@click.option("--data", metavar="PATH", required=True, help="The table to measure it on.")
@click.option("--target", metavar="COLUMN", required=True, help="The column of the truth.")
@click.option("--positive", metavar="LABEL", help="Of two labels the positive one.")
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
    of = {} if positive is None else {"positive": positive}
    found = api.seal_pickle(path, digest, data, target, store=store, **of)
    render.answer(found, as_json, render.sealed)


@group.command()
@click.argument("data")
@click.option("--target", metavar="COLUMN", required=True, help="The column to predict.")
@click.option(
    "--output", "path", metavar="FILE", default=DEFAULT_PATH, show_default=True, help="The config."
)
@options.JSON
def init(data: str, target: str, path: str, as_json: bool) -> None:
    """Write a config for the table DATA that was looked at, and say why it is what it is."""
    place = Path(path).parent
    found = api.draft(data, target, place)
    place.mkdir(parents=True, exist_ok=True)
    api.write_config(found, path)
    if as_json:
        output.document({"config": path, "choices": found.choices})
    else:
        output.text(render.drafted(found, path))


@group.command()
@click.option("--json", "as_json", is_flag=True, help="The same: a schema is JSON.")
def schema(as_json: bool) -> None:
    """Print the JSON Schema of a config."""
    output.document(api.schema())


def _run(job: Callable[..., api.Run], as_json: bool, given: dict[str, Any]) -> None:
    """Run the jobs, showing each, and show what came of it, though a gate was missed."""
    progress = output.Progress(sys.stderr if as_json else sys.stdout)
    try:
        made = job(given.pop("config"), listener=progress, **given)
    except api.GateMissed as missed:
        github.tell(missed.run)
        if not as_json:
            render.answer(missed.run, as_json, render.ran)
        raise
    github.tell(made)
    for warning in made.warnings:
        output.say(f"warning: {warning}")
    render.answer(made, as_json, render.ran)


def _read(rows: str) -> bytes:
    if rows == "-" and sys.stdin is None:
        raise CallError("rows cannot be read: it is closed", where="standard input")
    if rows == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(rows).read_bytes()
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise CallError(f"rows cannot be read: {said}", where=rows) from error


for command in (serve, trust.verify, trust.sign, trust.trust, trust.promote, trust.doctor):
    group.add_command(command)
