"""The options that more than one command takes, and what those that name a signer come to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import click

import artifact_pipeline as api
from artifact_pipeline.builder.config.loader import DEFAULT_PATH
from artifact_pipeline.errors import CallError

Command: TypeAlias = Callable[..., None]

JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
STORE = click.option(
    "--store",
    metavar="FOLDER",
    help="Where artifacts and run records lie [default: $ARTIFACT_PIPELINE_STORE or artifacts].",
)
CONFIG = click.argument("config", default=DEFAULT_PATH)
GATES = click.option("--gates", metavar="JSON", help="Gates in the place of the config's.")
FORCE = click.option("--force", is_flag=True, help="Train a known recipe again, and compare.")
DATA = click.option("--data", metavar="PATH", help="Where the table lies that it was made from.")
ROOTS = click.option(
    "--certificate-chain", metavar="FILE", multiple=True, help="Certificates up to a root."
)

_SIGNER = (
    click.option("--public-key", metavar="FILE", help="Who must have signed it, by their key."),
    ROOTS,
    click.option("--identity", metavar="NAME", help="Who must have, by their name at Sigstore."),
    click.option("--oidc-issuer", metavar="URL", help="Who gave them that name."),
)
_TRUST = (
    click.option("--digest", metavar="sha256:…", help="Pin the artifact to its digest."),
    *_SIGNER,
    click.option("--require-signature", is_flag=True, help="Fail unless a signer is named."),
)


def signer_options(command: Command) -> Command:
    """Add the options that name a signer; `signer` takes what they give."""
    return _add(_SIGNER, command)


def trust_options(command: Command) -> Command:
    """Add the options that say which artifact may be opened; `trust` takes what they give."""
    return _add(_TRUST, command)


def signer(
    public_key: str | None,
    certificate_chain: tuple[str, ...],
    identity: str | None,
    oidc_issuer: str | None,
) -> api.Signer | None:
    """Return the signer that the options name, or None.

    Raises:
        CallError: if they name more than one, or one by half.
    """
    if sum([bool(public_key), bool(certificate_chain), bool(identity or oidc_issuer)]) > 1:
        raise CallError("expected one: a key, or roots, or an identity", where="the signer")
    if public_key:
        return api.public_key(public_key)
    if certificate_chain:
        return api.certificates(certificate_chain)
    if identity and oidc_issuer:
        return api.Identity(identity, oidc_issuer)
    if identity or oidc_issuer:
        raise CallError("expected both --identity and --oidc-issuer", where="the signer")
    return None


def trust(asked: dict[str, Any], store: str | None) -> dict[str, Any]:
    """Return the options as arguments of the functions that open an artifact.

    Raises:
        CallError: as `signer`, and if a signature is required of nobody.
    """
    digest, required = asked.pop("digest"), asked.pop("require_signature")
    signed_by, policy = signer(**asked), api.signer_of(store)
    if required and signed_by is None and policy is None:
        raise CallError(
            "by whom? Name a signer (--public-key, --certificate-chain or --identity), or let the "
            "store ask for one: artifact-pipeline trust",
            where="--require-signature",
        )
    if signed_by is None and policy is not None:
        from artifact_pipeline.store.policy import is_set_here

        # For as long as the command runs, even if the file is removed.
        signed_by = policy if is_set_here([policy], None, store=store) else None
    return {"digest": digest, "signed_by": signed_by, "store": store}


def _add(options: tuple[Callable[[Command], Command], ...], command: Command) -> Command:
    for option in reversed(options):
        command = option(command)
    return command
