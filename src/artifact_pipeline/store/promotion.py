"""Moving an alias to an artifact, one at a time, with a record of who did it, when, from what."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime

from artifact_pipeline.errors import CallError
from artifact_pipeline.store import provenance
from artifact_pipeline.store.access import Reference, open_trusted
from artifact_pipeline.store.store import ALIAS, LATEST, Promotion, Store

CHAMPION = "champion"


def promote(
    artifact: Reference, alias: str = CHAMPION, *, store: Reference | None = None
) -> Promotion:
    """Move an alias to an artifact that is to be trusted, and return the record of the move.

    Raises:
        CallError: for an alias that is no name, or is moved by runs alone.
        VerificationError: as `open_trusted`.
        StoreError: if somebody else moves it at this moment, or it cannot be written.
    """
    if not ALIAS.fullmatch(alias) or alias == LATEST:
        why = "is moved by each run" if alias == LATEST else "is no alias"
        raise CallError(
            f"{why}; expected a name of lower-case letters, digits and -, such as {CHAMPION}",
            where=ascii(alias)[1:64].rstrip("'"),
        )
    place = Store(store)
    found = open_trusted(artifact, store=store)
    if found.digest not in place.artifacts():
        raise CallError(
            "lies in no store, so no alias can name it there; artifact-pipeline list shows what "
            "does",
            where=str(found.folder),
        )
    with place.turn(alias):
        moved = Promotion(
            alias=alias,
            digest=found.digest,
            instead_of=place.alias(alias),
            by=f"{_user()} on {provenance.host()['name']}",
            when=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        place.record_move(alias, moved)
        place.set_alias(alias, found.digest)
    return moved


def promotions(*, store: Reference | None = None) -> list[Promotion]:
    """Return all moves of all aliases, the newest of each alias first.

    Raises:
        StoreError: if a record cannot be read.
    """
    return Store(store).moves()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a user id without a name, as in a container
        return "somebody"
