"""Promotion: moving an alias to an artifact, under a lock, with a record of each move."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime

from artifact_pipeline.errors import CallError, Location
from artifact_pipeline.store import provenance
from artifact_pipeline.store.access import Reference, open_trusted
from artifact_pipeline.store.journal import Promotion
from artifact_pipeline.store.pointers import ALIAS, LATEST
from artifact_pipeline.store.store import Store

CHAMPION = "champion"


def promote(
    artifact: Reference, alias: str = CHAMPION, *, store: Reference | None = None
) -> Promotion:
    """Move an alias to an artifact of a store, and return the record of the move.

    Args:
        artifact: As for `open_trusted`, which checks it first.
        alias: A name of lower-case letters, digits and `-`, but not `latest`, which runs move.
        store: The store of the artifact and the alias.

    Raises:
        ArtifactNotFound: If nothing has this name.
        CallError: If the alias is not valid, or the artifact does not lie in the store.
        VerificationError: As `open_trusted`.
        StoreError: If another process is moving the alias, or the store cannot be written.
    """
    if not ALIAS.fullmatch(alias) or alias == LATEST:
        raise CallError(
            "is moved by each run" if alias == LATEST else "is not a valid alias",
            location=Location(ascii(alias)[1:64].rstrip("'")),
            remedy=f"expected a name of lower-case letters, digits and -, such as {CHAMPION}",
        )
    target = Store(store)
    verified = open_trusted(artifact, store=store)
    if verified.digest not in target.artifacts.digests():
        raise CallError(
            f"is not an artifact of the store {target.root}",
            location=Location(str(verified.folder)),
            remedy="artifact-pipeline list shows what is",
        )
    with target.journal.alias_lock(alias):
        promotion = Promotion(
            alias=alias,
            digest=verified.digest,
            instead_of=target.aliases.get(alias),
            by=f"{_user()} on {provenance.host()['name']}",
            when=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        target.journal.write_promotion(promotion)
        target.aliases.set(alias, verified.digest)
    return promotion


def promotions(*, store: Reference | None = None) -> list[Promotion]:
    """Return the moves of all aliases, newest first within each alias.

    Raises:
        StoreError: If a record cannot be read.
    """
    return Store(store).journal.promotions()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a user id without a name, as in a container
        return "unknown"
