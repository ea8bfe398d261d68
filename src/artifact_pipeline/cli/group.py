"""Commands in groups, each with an example in its help."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import click

from artifact_pipeline.builder.config.messages import nearest
from artifact_pipeline.cli import output
from artifact_pipeline.errors import CallError, Location, quoted
from artifact_pipeline.log import VERBOSE_ENV_VAR

SECTIONS = {
    "Train": ("init", "run", "train", "seal"),
    "Inspect": ("list", "runs", "board", "show", "compare", "report", "recipe"),
    "Predict": ("infer", "evaluate", "serve"),
    "Verify": ("verify", "reproduce", "trust", "doctor"),
    "Manage versions": ("promote", "rollback", "history", "tag", "prune"),
    "Share": ("sign", "push", "pull", "remote", "export", "comment"),
    "Set up": ("schema", "completion"),
}
"""The commands by purpose, in the order in which `--help` shows them."""

OTHER_NAMES = {"diff": "compare"}
"""Other names for commands."""

EXAMPLES = {
    "": (
        "artifact-pipeline init customers.csv --target left",
        "artifact-pipeline run",
        "artifact-pipeline infer latest new.csv -o predictions.csv",
    ),
    "init": ("artifact-pipeline init customers.csv --target left",),
    "run": (
        "artifact-pipeline run",
        "artifact-pipeline run --example",
        "artifact-pipeline run churn.json --tests tests",
    ),
    "train": ("artifact-pipeline train churn.json --force",),
    "seal": (
        "artifact-pipeline seal model.pkl --digest sha256:… --data held-out.csv --target left",
    ),
    "list": ("artifact-pipeline list --store shared",),
    "runs": (
        "artifact-pipeline runs --name churn --sort roc_auc",
        "artifact-pipeline runs --where 'test.roc_auc > 0.8 and params.C < 1'",
        "artifact-pipeline runs --since 2026-03-01 --format csv > runs.csv",
    ),
    "board": (
        "artifact-pipeline board -o board.html",
        "artifact-pipeline board -o public/",
    ),
    "show": ("artifact-pipeline show latest",),
    "compare": (
        "artifact-pipeline compare churn@champion churn@latest",
        "artifact-pipeline compare churn:1 churn:2 churn:3",
    ),
    "report": ("artifact-pipeline report latest -o report.html",),
    "recipe": ("artifact-pipeline recipe churn.json",),
    "infer": (
        "artifact-pipeline infer latest new.csv -o predictions.csv",
        "artifact-pipeline infer latest - < new.csv",
    ),
    "evaluate": ("artifact-pipeline evaluate champion --config config/config.json",),
    "serve": (
        "artifact-pipeline serve champion",
        "artifact-pipeline serve churn=s3://models/churn@champion",
        "artifact-pipeline serve churn=champion price=3f2a9c41d07e --port 9000",
    ),
    "verify": (
        "artifact-pipeline verify latest",
        "artifact-pipeline verify model/ --public-key model.pub",
        "artifact-pipeline verify model/ --provenance provenance.json",
    ),
    "reproduce": ("artifact-pipeline reproduce latest",),
    "trust": ("artifact-pipeline trust --public-key model.pub",),
    "doctor": ("artifact-pipeline doctor --repair",),
    "sign": ("artifact-pipeline sign latest --key model.pem",),
    "export": (
        "artifact-pipeline export latest --to folder -o model.zip",
        "artifact-pipeline export churn@champion --to slsa --key model.pem",
        "artifact-pipeline export churn:3 --to mlflow --registered-model churn",
        "artifact-pipeline export churn:3 --to huggingface --repo acme/churn --private",
    ),
    "comment": ("artifact-pipeline comment artifacts/runs/ID.json",),
    "push": (
        "artifact-pipeline push churn@latest s3://models/churn",
        "artifact-pipeline push churn:3 file:///srv/models/churn --tag staging",
    ),
    "pull": (
        "artifact-pipeline pull s3://models/churn",
        "artifact-pipeline pull oci://ghcr.io/acme/churn@champion",
        "artifact-pipeline pull file:///srv/models/churn:3 --public-key model.pub",
    ),
    "remote": ("artifact-pipeline remote list s3://models/churn",),
    "remote list": ("artifact-pipeline remote list s3://models/churn",),
    "promote": (
        "artifact-pipeline promote churn:3",
        "artifact-pipeline promote latest --as challenger --message 'new features'",
        "artifact-pipeline promote churn:3 --remote s3://models/churn",
        "artifact-pipeline promote --remove churn@challenger",
    ),
    "rollback": (
        "artifact-pipeline rollback churn@champion",
        "artifact-pipeline rollback churn@champion --to 2 --message 'complaints'",
    ),
    "history": (
        "artifact-pipeline history churn",
        "artifact-pipeline history churn@champion --at 2026-03-03",
    ),
    "prune": (
        "artifact-pipeline prune --dry-run",
        "artifact-pipeline prune --keep-last 5 --keep-days 90",
    ),
    "tag": (
        "artifact-pipeline tag churn:3 reviewed-by=asha",
        "artifact-pipeline tag churn:3 --remove reviewed-by",
    ),
    "schema": ("artifact-pipeline schema > config.schema.json",),
    "completion": (
        'eval "$(artifact-pipeline completion bash)"',
        'eval "$(artifact-pipeline completion zsh)"',
        "artifact-pipeline completion fish | source",
    ),
}
"""The lines of the examples by command; those under "" are the program's own."""


def _verbose_option() -> click.Option:
    def callback(_: click.Context, __: click.Parameter, verbose: bool) -> None:
        if verbose:
            output.be_verbose()

    return click.Option(
        ["-v", "--verbose"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=callback,
        help=f"Show steps, timings and tracebacks; ${VERBOSE_ENV_VAR}=1 does the same.",
    )


class Command(click.Command):
    """A command with the option `--verbose`, whose help ends with examples."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(_verbose_option())

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        _write_examples(formatter, EXAMPLES.get(_words(context), ()))


class Group(click.Group):
    """A group whose help shows commands in sections, and which shows it without arguments."""

    command_class = Command

    def __init__(self, *args: Any, modules: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        """Make a group.

        Args:
            args: As for click's group.
            modules: The module of each command, which is imported when the command is called.
            kwargs: As for click's group.
        """
        super().__init__(*args, **kwargs)
        self.params.append(_verbose_option())
        self._modules = modules or {}

    def list_commands(self, context: click.Context) -> list[str]:
        return sorted({*self.commands, *self._modules})

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        name = OTHER_NAMES.get(name, name)
        if name not in self.commands and name in self._modules:
            module = importlib.import_module(f"{__package__}.{self._modules[name]}")
            commands = (
                value for value in vars(module).values() if isinstance(value, click.Command)
            )
            self.add_command(next(command for command in commands if command.name == name))
        return super().get_command(context, name)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        sections = {title: list(names) for title, names in SECTIONS.items()}
        listed = {name for names in sections.values() for name in names}
        sections["Other"] = [name for name in self.list_commands(context) if name not in listed]
        width = max(map(len, self.list_commands(context)))
        for title, names in sections.items():
            commands = [command for name in names if (command := self.get_command(context, name))]
            if commands:
                with formatter.section(title):
                    limit = formatter.width - width - 6
                    rows = [
                        (f"{command.name:<{width}}", command.get_short_help_str(limit))
                        for command in commands
                    ]
                    formatter.write_dl(rows)

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        _write_examples(formatter, EXAMPLES[_words(context)])

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        if not args and not context.resilient_parsing:
            click.echo(context.get_help(), color=context.color)
            context.exit(2)
        return super().parse_args(context, args)

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(context, args)
        except click.UsageError as error:
            raise CallError(
                f"no such command {quoted(args[0])}",
                location=Location(context.command_path),
                remedy=nearest(args[0], self.list_commands(context)),
            ) from error


def _words(context: click.Context) -> str:
    """Return the words of a command after the program's name."""
    return " ".join(context.command_path.split()[1:])


def _write_examples(formatter: click.HelpFormatter, lines: Sequence[str]) -> None:
    if lines:
        with formatter.section("Example" if len(lines) == 1 else "Examples"):
            for line in lines:
                formatter.write(
                    _broken(line, " " * formatter.current_indent, width=formatter.width)
                )


def _broken(line: str, indent: str, *, width: int) -> str:
    """Return a command, broken into several shell lines if it is too long."""
    rows, row = [], indent + line
    while len(row) > width:
        cut = row.rfind(" --", len(indent) + 2, width - 1)
        if cut < 0:
            break
        rows.append(row[:cut] + " \\")
        row = indent + "    " + row[cut + 1 :]
    return "\n".join([*rows, row]) + "\n"
