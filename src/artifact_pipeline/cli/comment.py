"""The command that comments on a pull request."""

from __future__ import annotations

import os
from pathlib import Path

import click
from msgspec import Struct

from artifact_pipeline.builder.config import model_name
from artifact_pipeline.cli import comment_text, completion, github, options, output, pull_request
from artifact_pipeline.cli.comment_text import code
from artifact_pipeline.cli.group import Command
from artifact_pipeline.cli.pull_request import PullRequest
from artifact_pipeline.errors import CallError, Location, NetworkError
from artifact_pipeline.pipeline.record import Record
from artifact_pipeline.store.store import Store


class Comment(Struct, frozen=True, kw_only=True):
    """The text about a run, and whether it was posted."""

    markdown: str
    url: str | None = None
    """The address of the comment, if it was posted."""
    problem: str | None = None
    """Why it was not posted on the pull request of this job."""


@click.command(cls=Command)
@click.argument("record", metavar="RECORD", shell_complete=completion.file)
@options.STORE_TO_READ
@options.JSON
def comment(record: str, store: str | None, *, as_json: bool) -> None:
    """Comment on a pull request with the results of a run.

    RECORD is the file of the run record. The comment compares the metrics with the champion's and
    lists the gates. In a GitHub Actions job for a pull request, it is posted with $GITHUB_TOKEN and
    replaces the model's earlier comment; if that fails, it goes to the job summary. Elsewhere it is
    printed.
    """
    stored = Store(store)
    run = _read(record, stored)
    target = pull_request.of_job()
    text = comment_text.write(run, stored, commit="" if target is None else target.commit)
    result = Comment(markdown=text)
    if target is not None:
        result = _post(target, text, name=str(run.name))
    if as_json:
        output.document(result)
    elif result.url is not None:
        output.text(f"commented: {result.url}")
    elif result.problem is not None:
        output.say(f"warning: not posted on the pull request: {result.problem}")
    else:
        output.text(text)


def _read(path: str, store: Store) -> Record:
    if not Path(path).is_file():
        raise CallError("no such file, expected a run record", location=Location(path))
    run = store.journal.read(Path(path), Record)
    if run.artifact is None or run.metrics is None or not model_name.is_valid(run.name or ""):
        raise CallError("is the record of a run without an artifact", location=Location(path))
    return run


def _post(target: PullRequest, text: str, *, name: str) -> Comment:
    marker = f"<!-- artifact-pipeline {name} -->"
    try:
        url = pull_request.put_comment(
            target, f"{marker}\n{text}", marker=marker, token=os.environ.get("GITHUB_TOKEN", "")
        )
    except NetworkError as error:
        problem = str(error)
        github.summarize(
            f"> [!NOTE]\n> Not posted on the pull request: {code(problem)}. The token needs "
            "`permissions: pull-requests: write`. Tokens of pull requests from forks and from "
            f"Dependabot never have it.\n\n{text}"
        )
        return Comment(markdown=text, problem=problem)
    return Comment(markdown=text, url=url)
