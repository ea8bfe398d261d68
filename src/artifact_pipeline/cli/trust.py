"""The commands for signatures and the health of a store."""

from __future__ import annotations

from typing import Any

import click

import artifact_pipeline as api
from artifact_pipeline.cli import completion, options, output
from artifact_pipeline.cli.group import Command
from artifact_pipeline.cli.layout import short
from artifact_pipeline.cli.render.stores import examined
from artifact_pipeline.errors import CallError, Location
from artifact_pipeline.store.policy import required_signers


@click.command(cls=Command)
@options.ARTIFACT
@click.option("--provenance", metavar="FILE", shell_complete=completion.file,
              help="Check that this provenance or bill of materials is ARTIFACT's.")  # fmt: skip
@options.trust_options
@options.STORE_TO_READ
@options.JSON
def verify(
    artifact: str, provenance: str | None, *, store: str | None, as_json: bool, **trusted: Any
) -> None:
    """Check every file of ARTIFACT, its digest and its signature.

    With --provenance, the required signer must have signed that document too.
    """
    arguments = options.trust(trusted, store)
    verified = api.open_trusted(artifact, **arguments)
    signers = required_signers(verified.folder, signed_by=arguments["signed_by"], store=store)
    kind = None
    if provenance is not None:
        from artifact_pipeline.exports.cyclonedx import check_document

        kind = check_document(verified, provenance, signers=signers)
    if as_json:
        answer = {"digest": verified.digest, "verified": True, "signed": bool(signers)}
        if provenance is not None:
            answer["provenance"] = True
        output.document({**answer, "artifact": str(verified.folder)})
    else:
        signed = "; signed by the required signer" if signers else ""
        described = "" if kind is None else f"; the {kind} is that of this artifact"
        output.text(
            f"{short(verified.digest)} verified: {len(verified.files) + 1} files intact"
            f"{described}{signed}"
        )


@click.command(cls=Command)
@options.ARTIFACT
@click.option("-k", "--key", metavar="FILE", shell_complete=completion.file,
              help="Private key: PEM, elliptic curve, without a password.")  # fmt: skip
@click.option("--certificate", metavar="FILE", shell_complete=completion.file,
              help="Certificate of the key.")  # fmt: skip
@options.ROOTS
@click.option("--keyless", is_flag=True,
              help="Sign through Sigstore as the CI job or your login.")  # fmt: skip
@options.STORE_TO_READ
@options.JSON
def sign(
    artifact: str,
    key: str | None,
    *,
    certificate: str | None,
    certificate_chain: tuple[str, ...],
    keyless: bool,
    store: str | None,
    as_json: bool,
) -> None:
    """Verify and sign ARTIFACT.

    The signature is the file model.sig in the artifact's folder.
    """
    if (key is None) != keyless:
        raise CallError("expected either --key FILE or --keyless", location=Location("sign"))
    if (certificate_chain and certificate is None) or (certificate and key is None):
        problem = "a certificate needs --key, and a chain needs --certificate"
        raise CallError(problem, location=Location("sign"))
    verified = api.sign(
        artifact, key=key, certificate=certificate, chain=certificate_chain, store=store
    )
    signature = str(verified.folder / "model.sig")
    if as_json:
        output.document({"digest": verified.digest, "signature": signature})
    else:
        output.text(f"{short(verified.digest)} signed:\n{signature}")


@click.command(cls=Command)
@options.signer_options
@options.STORE
@options.JSON
def trust(store: str | None, as_json: bool, **named: Any) -> None:
    """Make a store open only artifacts that one signer has signed."""
    signed_by = options.signer(**named)
    if signed_by is None:
        raise CallError(
            "expected --public-key, --certificate-chain or --identity", location=Location("trust")
        )
    api.require_signature(signed_by, store=store)
    if as_json:
        output.document({"signed_by": signed_by})
    else:
        output.text("infer, verify and load_model now refuse artifacts not signed by this signer")


@click.command(cls=Command)
@click.option("--repair", is_flag=True, help="Repair what can be repaired without loss.")
@options.STORE_TO_READ
@options.JSON
def doctor(repair: bool, store: str | None, *, as_json: bool) -> None:
    """Check a store for damage."""
    report = api.examine(store, repair=repair)
    if report.healthy or not as_json:
        output.answer(report, examined, as_json=as_json)
    if not report.healthy:
        count = sum(not finding.repaired for finding in report.findings)
        problem = f"{count} problem{'' if count == 1 else 's'} found"
        raise api.StoreDamaged(
            problem,
            location=Location(report.store),
            remedy=None if repair else "run it again with --repair",
            run=report,
        )
