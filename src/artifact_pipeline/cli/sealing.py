"""The command that seals an estimator that was fitted elsewhere."""

from __future__ import annotations

from typing import Any

import click

from artifact_pipeline.cli import completion, options, output
from artifact_pipeline.cli.group import Command
from artifact_pipeline.cli.render.artifacts import sealed
from artifact_pipeline.exports.formats import TRACKING_URI_ENV_VAR


@click.command(cls=Command)
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
