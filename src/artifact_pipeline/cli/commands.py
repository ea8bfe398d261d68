"""The program: its name, its help, and the modules of its commands."""

from __future__ import annotations

import click

import artifact_pipeline as api
from artifact_pipeline.cli.group import Group

_MODULES = {
    "board": "board",
    "comment": "comment",
    "completion": "completion",
    "export": "export",
    "infer": "predictions",
    "runs": "runs",
    "seal": "sealing",
    "serve": "serve",
    **dict.fromkeys(("compare", "list", "report", "show"), "artifacts"),
    **dict.fromkeys(("doctor", "sign", "trust", "verify"), "trust"),
    **dict.fromkeys(("evaluate", "recipe", "reproduce", "run", "train"), "training"),
    **dict.fromkeys(("history", "promote", "prune", "rollback", "tag"), "registry"),
    **dict.fromkeys(("init", "schema"), "drafts"),
    **dict.fromkeys(("pull", "push", "remote"), "remote"),
}
"""The module of each command, which is imported when the command is called."""


@click.group(cls=Group, modules=_MODULES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(api.__version__, message="%(version)s")
def group() -> None:
    """Train scikit-learn models from JSON configs into sealed artifacts.

    ARTIFACT is NAME@ALIAS such as churn@champion, NAME:VERSION such as churn:3, an alias such as
    latest, the first eight or more hex digits of a digest, or a folder.
    """
