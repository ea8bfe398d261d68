"""The command that serves models over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import artifact_pipeline as api
from artifact_pipeline.cli import completion, options, output
from artifact_pipeline.cli.group import Command
from artifact_pipeline.errors import CallError, Location
from artifact_pipeline.remote.address import is_remote


@click.command(cls=Command)
@click.argument("models", metavar="[NAME=]ARTIFACT...", nargs=-1, required=True,
                shell_complete=completion.served)  # fmt: skip
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", show_default=True,
              help="Address to listen on.")  # fmt: skip
@click.option("-p", "--port", metavar="PORT", type=click.IntRange(0, 65535), default=8080,
              show_default=True, help="Port to listen on; 0 picks a free one.")  # fmt: skip
@click.option("-w", "--workers", metavar="N", type=click.IntRange(1, 256), default=1,
              show_default=True, help="Number of worker processes.")  # fmt: skip
@click.option("--token-file", metavar="FILE", shell_complete=completion.file,
              help="File with the bearer token that clients must send.")  # fmt: skip
@click.option("--allow-host", metavar="NAME", multiple=True,
              help="Host name that clients may use; repeatable.")  # fmt: skip
@click.option("--tls-cert", metavar="FILE", shell_complete=completion.file,
              help="TLS certificate, followed by intermediate certificates.")  # fmt: skip
@click.option("--tls-key", metavar="FILE", shell_complete=completion.file,
              help="Private key of the TLS certificate.")  # fmt: skip
@click.option("--show-examples", is_flag=True,
              help="Show held-out rows to other machines as well.")  # fmt: skip
@click.option("--access-log", is_flag=True, help="Print a line of JSON for each request.")
@click.option("--max-body", metavar="MIB", type=click.IntRange(1, 2048), default=16,
              show_default=True, help="Maximum size of a request.")  # fmt: skip
@click.option("--max-rows", metavar="N", type=click.IntRange(1), default=10_000, show_default=True,
              help="Maximum rows per request.")  # fmt: skip
@click.option("--deadline", metavar="SECONDS", type=click.FloatRange(0.1, 3600.0), default=30.0,
              show_default=True,
              help="Maximum time to receive a request, and again to respond.")  # fmt: skip
@click.option("--queue", metavar="N", type=click.IntRange(1), default=128, show_default=True,
              help="Maximum concurrent requests per worker; further requests get 503 with "
              "Retry-After.")  # fmt: skip
@options.trust_options
@options.STORE
def serve(
    models: tuple[str, ...],
    token_file: str | None,
    *,
    allow_host: tuple[str, ...],
    tls_cert: str | None,
    tls_key: str | None,
    max_body: int,
    store: str | None,
    **arguments: Any,
) -> None:
    """Serve predictions of ARTIFACT over HTTP.

    Clients use the Open Inference Protocol, or POST rows to /predict. They call a model by NAME,
    by default "model". If ARTIFACT is an alias, also of a remote such as
    s3://models/churn@champion, the server follows it when it moves.
    """
    names = ("host", "port", "workers", "access_log", "show_examples", "max_rows", "deadline",
             "queue")  # fmt: skip
    settings = {name: arguments.pop(name) for name in names}
    named = [_named(word) for word in models]
    if not any(is_remote(artifact) for _, artifact in named):
        options.check_exists(store)
    trusted = options.trust(arguments, store)
    if trusted["digest"] and len(models) > 1:
        raise CallError(
            "pins one artifact, but several are named",
            location=Location("--digest"),
            remedy="name each by its digest",
        )
    specs = []
    for name, artifact in named:
        specs.append(api.ModelSpec(name=name, artifact=artifact, **trusted))
    server = api.ServerOptions(
        models=tuple(specs),
        token=None if token_file is None else _token(token_file),
        names=allow_host,
        certificate=tls_cert,
        key=tls_key,
        max_body=max_body << 20,
        **settings,
    )
    served = ", ".join(spec.name for spec in specs)
    api.serve(server, lambda address: output.text(f"{served} at {address}"))


def _named(word: str) -> tuple[str, str]:
    name, equals, artifact = word.partition("=")
    return (name, artifact) if equals and "/" not in name else ("model", word)


def _token(path: str) -> str:
    try:
        return Path(path).read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CallError(f"cannot be read: {reason}", location=Location(path)) from error
