"""The commands about trust: is it what it says, who signed it, who must have, is all sound."""

from __future__ import annotations

from typing import Any

import click

import artifact_pipeline as api
from artifact_pipeline.cli import options, output, render
from artifact_pipeline.errors import CallError
from artifact_pipeline.store.policy import required_signers


@click.command()
@click.argument("artifact")
@options.trust_options
@options.STORE
@options.JSON
def verify(artifact: str, store: str | None, as_json: bool, **asked: Any) -> None:
    """Check every file of ARTIFACT against its manifest, a digest, and who signed it."""
    asked = options.trust(asked, store)
    found = api.open_trusted(artifact, **asked)
    of = {name: asked[name] for name in ("signed_by", "store")}
    signed = bool(required_signers(found.folder, **of))
    if as_json:
        answer = {"digest": found.digest, "verified": True, "signed": signed}
        output.document({**answer, "artifact": str(found.folder)})
    else:
        files = f"{len(found.files) + 1} files, none missing, changed or unlisted"
        by = ", and signed by whom it must be" if signed else ""
        output.text(f"{found.digest} verified: {files}{by}")


@click.command()
@click.argument("artifact")
@click.option("--key", metavar="FILE", help="A private key: PEM, elliptic curve, no password.")
@click.option("--certificate", metavar="FILE", help="The certificate that says whose the key is.")
@options.ROOTS
@click.option("--keyless", is_flag=True, help="By Sigstore, as the CI job or you logged in.")
@options.STORE
@options.JSON
def sign(
    artifact: str,
    key: str | None,
    certificate: str | None,
    certificate_chain: tuple[str, ...],
    keyless: bool,
    store: str | None,
    as_json: bool,
) -> None:
    """Sign ARTIFACT, once it is verified; the signature is the file model.sig in its folder."""
    if (key is None) != keyless:
        raise CallError("expected either --key FILE or --keyless", where="sign")
    if (certificate_chain and certificate is None) or (certificate and key is None):
        raise CallError("expected --key and --certificate with it", where="sign")
    found = api.sign(
        artifact, key=key, certificate=certificate, chain=certificate_chain, store=store
    )
    place = str(found.folder / "model.sig")
    if as_json:
        output.document({"digest": found.digest, "signature": place})
    else:
        output.text(f"{found.digest} signed: {place}")


@click.command()
@options.signer_options
@options.STORE
@options.JSON
def trust(store: str | None, as_json: bool, **named: Any) -> None:
    """Let a store open nothing, from now on, that this signer did not sign."""
    signed_by = options.signer(**named)
    if signed_by is None:
        raise CallError("expected --public-key, --certificate-chain or --identity", where="trust")
    api.require_signature(signed_by, store=store)
    if as_json:
        output.document({"signed_by": signed_by})
    else:
        output.text("from now on infer, verify and load_model refuse what this signer did not sign")


@click.command()
@click.argument("artifact")
@click.option("--as", "alias", default="champion", show_default=True, help="The alias to move.")
@options.STORE
@options.JSON
def promote(artifact: str, alias: str, store: str | None, as_json: bool) -> None:
    """Move an alias to ARTIFACT, and keep who did it, when, and from what."""
    render.answer(api.promote(artifact, alias, store=store), as_json, render.promoted)


@click.command()
@click.option("--repair", is_flag=True, help="Mend what can be mended; what verifies stays.")
@options.STORE
@options.JSON
def doctor(repair: bool, store: str | None, as_json: bool) -> None:
    """Check a store, and say what is wrong with it and what is to be done."""
    found = api.examine(store, repair=repair)
    if found.healthy or not as_json:
        render.answer(found, as_json, render.examined)
    if not found.healthy:
        left = sum(not finding.repaired for finding in found.findings)
        how = "" if repair else "; --repair does what it can"
        raise api.StoreDamaged(f"{left} things are wrong{how}", run=found, where=found.store)
