"""The command that serves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import artifact_pipeline as api
from artifact_pipeline.cli import options
from artifact_pipeline.cli.output import text
from artifact_pipeline.errors import CallError


@click.command()
@click.argument("models", metavar="[NAME=]ARTIFACT...", nargs=-1, required=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True)
@click.option("--workers", type=click.IntRange(1, 256), default=1, show_default=True)
@click.option(
    "--token-file", metavar="FILE", help="File with the bearer token that clients must send."
)
@click.option("--allow-host", metavar="NAME", multiple=True, help="A name that clients may use.")
@click.option("--tls-cert", metavar="FILE", help="Its certificate, and those above it.")
@click.option("--tls-key", metavar="FILE", help="The key of the certificate.")
@click.option("--show-examples", is_flag=True, help="Show held-out rows beyond this machine.")
@click.option("--access-log", is_flag=True, help="Print a line of JSON for each request.")
@click.option("--max-body", metavar="MIB", type=click.IntRange(1, 2048), default=16,
              show_default=True)  # fmt: skip
@click.option("--max-rows", type=click.IntRange(1), default=10_000, show_default=True)
@click.option("--deadline", metavar="SECONDS", type=click.FloatRange(0.1, 3600.0), default=30.0,
              show_default=True, help="To receive a request, and to answer it.")  # fmt: skip
@click.option("--queue", type=click.IntRange(1), default=128, show_default=True,
              help="Maximum queued requests per worker; others get 503.")  # fmt: skip
@options.trust_options
@options.STORE
def serve(
    models: tuple[str, ...],
    token_file: str | None,
    allow_host: tuple[str, ...],
    tls_cert: str | None,
    tls_key: str | None,
    max_body: int,
    store: str | None,
    **given: Any,
) -> None:
    """Answer over HTTP what ARTIFACT says of rows: the Open Inference Protocol, and /predict.

    A model is called by NAME, or else model. An alias is followed when it moves.
    """
    names = (
        "host",
        "port",
        "workers",
        "access_log",
        "show_examples",
        "max_rows",
        "deadline",
        "queue",
    )
    rest = {name: given.pop(name) for name in names}
    trusted = options.trust(given, store)
    if trusted["digest"] and len(models) > 1:
        raise CallError("pins one artifact; name several by their digests", where="--digest")
    specs = []
    for model in models:
        name, artifact = _named(model)
        specs.append(api.ModelSpec(name=name, artifact=artifact, **trusted))
    wanted = api.ServerOptions(
        models=tuple(specs),
        token=None if token_file is None else _token(token_file),
        names=allow_host,
        certificate=tls_cert,
        key=tls_key,
        max_body=max_body << 20,
        **rest,
    )
    called = ", ".join(spec.name for spec in specs)
    api.serve(wanted, lambda address: text(f"{called} at {address}"))


def _named(word: str) -> tuple[str, str]:
    name, equals, artifact = word.partition("=")
    return (name, artifact) if equals and "/" not in name else ("model", word)


def _token(path: str) -> str:
    try:
        return Path(path).read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise CallError(f"cannot be read: {said}", where=path) from error
