"""The command that hands an artifact to other tools."""

from __future__ import annotations

from typing import Any, get_args

import click

import artifact_pipeline as api
from artifact_pipeline.builder.escapes import write_out
from artifact_pipeline.cli import completion, options, output
from artifact_pipeline.cli.group import Command
from artifact_pipeline.cli.layout import short
from artifact_pipeline.exports.formats import TRACKING_URI_ENV_VAR, ExportFormat


@click.command(cls=Command)
@options.ARTIFACT
@click.option("--to", type=click.Choice(get_args(ExportFormat)), required=True,
              help="Format to write.")  # fmt: skip
@click.option("-o", "--output", metavar="PATH", shell_complete=completion.file,
              help="File or new folder to write [default: named after the format].")  # fmt: skip
@click.option("-k", "--key", metavar="FILE", shell_complete=completion.file,
              help="Private key to sign slsa or cyclonedx with.")  # fmt: skip
@click.option("--license", "license_id", metavar="ID",
              help="Licence for huggingface, such as mit [default: unknown].")  # fmt: skip
@click.option("--tracking-uri", metavar="URI",
              help=f"MLflow server to log to [default: ${TRACKING_URI_ENV_VAR}; else a folder].",
              )  # fmt: skip
@click.option("--registered-model", metavar="NAME",
              help="Name in the MLflow server's registry to add a version to.")  # fmt: skip
@click.option("--repo", metavar="OWNER/NAME",
              help="Repository on Hugging Face's Hub to upload to [default: a folder].",
              )  # fmt: skip
@click.option("--private", is_flag=True, help="Require that repository to be private.")
@options.STORE_TO_READ
@options.JSON
def export(artifact: str, as_json: bool, **arguments: Any) -> None:
    """Write ARTIFACT in the format of another tool.

    Formats: folder, a zip file with the ONNX model and a script that predicts without this program;
    slsa, the provenance; cyclonedx, the bill of materials; huggingface, a folder for the Hub or a
    commit on it; mlflow, an MLflow model in a folder or on a server.
    """
    exported = api.export(artifact, **arguments)
    if as_json:
        output.document(exported)
    else:
        path = write_out(exported.path)
        verb = "wrote" if exported.changed else "no change to"
        output.text(f"{verb} {path}: {short(exported.digest)}")
        if exported.to == "huggingface" and arguments["repo"] is None:
            output.text(f"upload it with: hf upload OWNER/NAME {path}")
