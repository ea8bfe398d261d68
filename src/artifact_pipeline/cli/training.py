"""The commands that train a model or measure one again."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import artifact_pipeline as api
from artifact_pipeline.cli import completion, github, options, output
from artifact_pipeline.cli.group import Command
from artifact_pipeline.cli.layout import short
from artifact_pipeline.cli.render.artifacts import reproduced
from artifact_pipeline.cli.render.runs import evaluated, ran
from artifact_pipeline.disk import write_atomically
from artifact_pipeline.errors import CallError, Location

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


@click.command(cls=Command)
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


@click.command(cls=Command)
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


@click.command(cls=Command)
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


@click.command(cls=Command)
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


@click.command(cls=Command)
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
