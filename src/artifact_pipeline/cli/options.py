"""Options that several commands share, and the signer that some of them name."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

import click

import artifact_pipeline as api
from artifact_pipeline.builder.config.source import DEFAULT_PATH
from artifact_pipeline.cli import completion
from artifact_pipeline.errors import ArtifactNotFound, CallError, Location
from artifact_pipeline.store.folder import DEFAULT_STORE, STORE_ENV_VAR, StoreFolder

Command: TypeAlias = Callable[..., None]

JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
ARTIFACT = click.argument("artifact", shell_complete=completion.artifact)
_OF_STORES = ("board", "doctor", "list", "runs")
"""Commands that read a complete store; others also accept an artifact's folder."""


def _folder(_: click.Context, __: click.Parameter, store: str | None) -> str | None:
    """Return the store of a command, which may not exist yet, if it is not a file."""
    if store and Path(store).is_file():
        raise CallError("is a file, expected the folder of a store", location=Location(store))
    return store


def check_exists(folder: str | None, *, origin: str = "--store") -> None:
    """Raise ArtifactNotFound if a folder that the user named does not exist."""
    if folder and not os.path.lexists(folder):
        raise ArtifactNotFound(
            f"no such folder, named by {origin}",
            location=Location(folder),
            remedy="check the path",
        )


def _existing(context: click.Context, option: click.Parameter, store: str | None) -> str | None:
    """Return the store to read, after checking that its folder exists and is a store."""
    reads_all = context.command.name in _OF_STORES
    folder = _folder(context, option, store or (os.environ.get(STORE_ENV_VAR) if reads_all else ""))
    check_exists(folder, origin="--store" if store else f"${STORE_ENV_VAR}")
    if folder and reads_all and not StoreFolder(folder).is_store():
        inner = Path(folder, DEFAULT_STORE)
        raise ArtifactNotFound(
            "is not a store: it has other files, and no artifacts or run records",
            location=Location(folder),
            remedy=f"did you mean {inner}?" if inner.is_dir() else "check the path",
        )
    return store


STORE = click.option(
    "-s",
    "--store",
    metavar="FOLDER",
    shell_complete=completion.folder,
    callback=_folder,
    help=f"Folder of artifacts and run records [default: ${STORE_ENV_VAR} or artifacts].",
)


STORE_TO_READ = click.option(
    "-s",
    "--store",
    metavar="FOLDER",
    shell_complete=completion.folder,
    callback=_existing,
    help=f"Folder of artifacts and run records [default: ${STORE_ENV_VAR} or artifacts].",
)
CONFIG = click.argument("config", default=DEFAULT_PATH, shell_complete=completion.file)
GATES = click.option(
    "-g", "--gates", metavar="JSON", help="Gates that replace those of the config."
)
FORCE = click.option(
    "-f",
    "--force",
    is_flag=True,
    help="Train even if the store has the artifact, and compare the two.",
)
SCHEDULER = click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Dask scheduler [default: a cluster on this machine].",
)


def _data_option(help_text: str) -> Callable[[Command], Command]:
    return click.option(
        "-d", "--data", metavar="PATH", shell_complete=completion.file, help=help_text
    )


DATA = _data_option("Current path of the artifact's table.")
TABLE = _data_option("Read the table here instead of at data.path.")
ROOTS = click.option(
    "--certificate-chain",
    metavar="FILE",
    multiple=True,
    shell_complete=completion.file,
    help="Certificates up to a trusted root; repeatable.",
)

_SIGNER = (
    click.option(
        "--public-key",
        metavar="FILE",
        shell_complete=completion.file,
        help="Public key that must verify the signature.",
    ),
    ROOTS,
    click.option("--identity", metavar="NAME", help="Sigstore identity that must have signed."),
    click.option("--oidc-issuer", metavar="URL", help="Issuer of the Sigstore identity."),
)
_TRUST = (
    click.option(
        "--digest",
        metavar="sha256:…",
        shell_complete=completion.digest,
        help="Digest that the artifact must have.",
    ),
    *_SIGNER,
    click.option(
        "--require-signature",
        is_flag=True,
        help="Fail unless the options or the store name a required signer.",
    ),
)


def engine(task: str) -> Callable[[Command], Command]:
    """Return the option `--engine`, which sets where a command runs `task`."""
    return click.option(
        "--engine",
        type=click.Choice(["local", "dask"]),
        default="local",
        show_default=True,
        help=f"Where to {task}.",
    )


def signer_options(command: Command) -> Command:
    """Add the options that name a signer; `signer` takes their values."""
    return _add(_SIGNER, command)


def trust_options(command: Command) -> Command:
    """Add the options that restrict which artifact is opened; `trust` takes their values."""
    return _add(_TRUST, command)


def signer(
    *,
    public_key: str | None,
    certificate_chain: tuple[str, ...],
    identity: str | None,
    oidc_issuer: str | None,
) -> api.Signer | None:
    """Return the signer that the options name, or None.

    Raises:
        CallError: If they name several signers, or one incompletely.
    """
    location = Location("the signer")
    if sum([bool(public_key), bool(certificate_chain), bool(identity or oidc_issuer)]) > 1:
        raise CallError("expected one of a key, certificates and an identity", location=location)
    if public_key:
        return api.public_key(public_key)
    if certificate_chain:
        return api.certificates(certificate_chain)
    if identity and oidc_issuer:
        return api.Identity(identity, oidc_issuer)
    if identity or oidc_issuer:
        raise CallError("expected both --identity and --oidc-issuer", location=location)
    return None


def trust(options: dict[str, Any], store: str | None) -> dict[str, Any]:
    """Return the options as arguments of the functions that open an artifact.

    Raises:
        CallError: As `signer`, or if a signature is required but no signer is named.
    """
    from artifact_pipeline.store.policy import is_set_here, signer_of

    options = dict(options)
    digest, required = options.pop("digest"), options.pop("require_signature")
    signed_by, policy = signer(**options), signer_of(store)
    if required and signed_by is None and policy is None:
        raise CallError(
            "no signer is named",
            location=Location("--require-signature"),
            remedy="add --public-key, --certificate-chain or --identity, or set the signer of the "
            "store: artifact-pipeline trust",
        )
    if signed_by is None and policy is not None:
        # Applies to the complete command, even if the policy's file is removed meanwhile.
        signed_by = policy if is_set_here([policy], None, store=store) else None
    return {"digest": digest, "signed_by": signed_by, "store": store}


def _add(options: tuple[Callable[[Command], Command], ...], command: Command) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


def check_not_input(path: str, inputs: list[str | None]) -> None:
    """Check that the output file is not one of the inputs."""
    for name in inputs:
        is_same = False
        with suppress(OSError, ValueError):  # one of the two does not exist
            is_same = bool(name) and Path(path).samefile(str(name))
        if is_same:
            raise CallError(
                "is the input, and would be overwritten",
                location=Location(path),
                remedy="name another file with --output",
            )
