"""Moving aliases and setting tags, each recorded in the history of the model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.artifact import describe
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.errors import CallError, Location, StoreError, VerificationError, quoted
from artifact_pipeline.store.access import check_integrity, open_trusted
from artifact_pipeline.store.events import Evidence, Promotion, RemovedAlias, TagChange
from artifact_pipeline.store.models import MOVE_WAIT, ModelHistory, now
from artifact_pipeline.store.pointers import ALIAS, CHAMPION, LATEST
from artifact_pipeline.store.policy import required_signers
from artifact_pipeline.store.provenance import user
from artifact_pipeline.store.queries import record_of
from artifact_pipeline.store.references import ArtifactLike, PathLike, parse
from artifact_pipeline.store.store import LISTING, Store, listed
from artifact_pipeline.verification.verify import Verified, read_signature

TAG_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,99}")
MAX_TEXT = 1000
"""Maximum characters of a message or of a tag."""


def promote(
    artifact: ArtifactLike,
    alias: str = CHAMPION,
    *,
    message: str | None = None,
    store: PathLike | None = None,
) -> Promotion:
    """Move an alias of a model to one of its artifacts, and return the record of the move.

    Args:
        artifact: As for `open_trusted`, which checks it first.
        alias: A name of lower-case letters, digits and `-`, but not `latest`, which runs move.
        message: The reason.
        store: The store of the artifact and the alias.

    Raises:
        ArtifactNotFound: If nothing has this name.
        CallError: If the alias or the message is not valid, or the artifact is not in the
            store.
        VerificationError: As `open_trusted`.
        StoreError: If another process is writing the history, or the store cannot be written.
    """
    check_move(alias, message)
    verified = open_trusted(artifact, store=store)
    return promote_verified(Store(store), verified, alias=alias, message=message)


def promote_verified(
    target: Store, verified: Verified, *, alias: str, message: str | None
) -> Promotion:
    """Move an alias as `promote` does, to an artifact that was just opened and is trusted."""
    name = _name_in(target, verified)
    evidence = evidence_of(target, verified)
    version = target.models.assign(name, verified.digest)
    with target.models.lock(name, wait=MOVE_WAIT):
        _check_is_there(target, verified)
        before = target.alias(name, alias)
        promotion = Promotion(
            alias=alias,
            digest=verified.digest,
            instead_of=before,
            by=user(),
            when=now(),
            name=name,
            version=version,
            instead_of_version=target.models.history(name).numbers.get(before or ""),
            message=message,
            evidence=evidence,
        )
        target.models.append(name, promotion)
    return promotion


def rollback(
    alias: str,
    *,
    to: int | None = None,
    message: str | None = None,
    store: PathLike | None = None,
) -> Promotion:
    """Move an alias back to a version that it named before, and return the record of the move.

    Args:
        alias: The alias as `NAME@ALIAS`, or by itself if one name has it.
        to: The version; by default the one before the current. A second rollback goes back
            further.
        message: The reason.
        store: The store.

    Raises:
        CallError: If there is no such alias, or it named no such version before.
        VerificationError: As `open_trusted`: the artifact is checked before the alias moves.
        StoreError: As `promote`.
    """
    _check_text(message, "message")
    target = Store(store)
    name, label = _alias_of(target, alias)
    _check_alias(label)
    history = target.models.history(name)
    digest, went_back_over = _target(target, history, alias=label, to=to)
    verified = open_trusted(digest, store=store)
    evidence = evidence_of(target, verified)
    with target.models.lock(name, wait=MOVE_WAIT):
        history = target.models.history(name)
        _check_is_there(target, verified)
        before = target.alias(name, label)
        if _target(target, history, alias=label, to=to)[0] != digest:
            problem = "was moved by another process"
            raise StoreError(problem, location=Location(alias), remedy="try again")
        promotion = Promotion(
            alias=label,
            digest=digest,
            instead_of=before,
            by=user(),
            when=now(),
            name=name,
            version=history.numbers.get(digest),
            instead_of_version=history.numbers.get(before or ""),
            message=message,
            evidence=evidence,
            went_back_over=went_back_over,
            rollback=True,
        )
        target.models.append(name, promotion)
    return promotion


def remove_alias(
    alias: str, *, message: str | None = None, store: PathLike | None = None
) -> RemovedAlias:
    """Remove an alias, and return the record of it. The artifact and the history stay.

    `rollback` restores the alias.

    Args:
        alias: The alias as `NAME@ALIAS`, or by itself if one name has it.
        message: The reason.
        store: The store.

    Raises:
        CallError: If the store has no such alias, or the message is not valid.
        StoreError: As `promote`.
    """
    _check_text(message, "message")
    target = Store(store)
    name, label = _alias_of(target, alias)
    _check_alias(label)
    with target.models.lock(name, wait=MOVE_WAIT):
        digest = target.alias(name, label)
        if digest is None:
            raise CallError("was removed before", location=Location(f"{name}@{label}"))
        removal = RemovedAlias(
            alias=label,
            digest=digest,
            version=target.models.history(name).numbers.get(digest),
            by=user(),
            when=now(),
            name=name,
            message=message,
            is_wanted=True,
        )
        target.models.append(name, removal)
        if target.alias(name, label) is not None:  # aliases of earlier releases had no names
            target.aliases.remove(label)
    return removal


def tag(
    artifact: ArtifactLike,
    tags: Mapping[str, str] | None = None,
    *,
    remove: Iterable[str] = (),
    message: str | None = None,
    store: PathLike | None = None,
) -> list[TagChange]:
    """Set and remove tags of an artifact, and return the changes.

    Args:
        artifact: As for `check_integrity`.
        tags: Texts by key, such as `{"reviewed-by": "asha"}`; they replace those of the same key.
        remove: Keys to remove.
        message: The reason.
        store: The store of the artifact.

    Raises:
        ArtifactNotFound, VerificationError: As `check_integrity`.
        CallError: If a key or a text is not valid, a key to remove is not set, or the artifact
            is not in the store.
        StoreError: As `promote`.
    """
    _check_text(message, "message")
    tags = dict(tags or {})
    for key, text in tags.items():
        _check_key(key)
        _check_text(text, f"tag {key}")
    target = Store(store)
    verified = check_integrity(artifact, store=store)
    name = _name_in(target, verified)
    version = target.models.assign(name, verified.digest)
    changes: list[tuple[str, str | None]] = [*tags.items(), *((key, None) for key in remove)]
    events = []
    with target.models.lock(name, wait=MOVE_WAIT):
        own = target.models.history(name).tags.get(verified.digest, {})
        for key, value in changes:
            if value is None and key not in own:
                choices = f"choose {listed(own)}" if own else "it has no tags"
                raise CallError("is not set", location=Location(f"tag {key[:100]}"), remedy=choices)
        for key, value in changes:
            if own.get(key) == value:
                continue
            event = TagChange(
                digest=verified.digest,
                version=version,
                key=key,
                value=value,
                before=own.get(key),
                by=user(),
                when=now(),
                message=message,
            )
            target.models.append(name, event)
            events.append(event)
    return events


def check_move(alias: str, message: str | None) -> None:
    """Check an alias to move, and the message of the move.

    Raises:
        CallError: If one is not valid.
    """
    _check_alias(alias)
    _check_text(message, "message")


def _target(
    store: Store, history: ModelHistory, *, alias: str, to: int | None
) -> tuple[Digest, list[int]]:
    """Return the artifact to go back to, and the versions to undo, newest first."""
    location = Location(f"{history.name}@{alias}")
    stack = _stack(store, history, alias=alias)
    # An alias that was removed goes back to what it named last.
    before = stack if stack and store.alias(history.name, alias) is None else stack[:-1]
    if to is None:
        if not before:
            problem = "has no previous version: it was moved only once"
            raise CallError(problem, location=location, remedy="promote another version")
        position = len(before) - 1
    else:
        digest = history.versions.get(to)
        if digest not in before:
            earlier = sorted({history.numbers[d] for d in before if d in history.numbers})
            choices = (
                f"choose {listed(map(str, earlier))}" if earlier else "it has no earlier versions"
            )
            raise CallError(
                f"did not name version {to} before the current one",
                location=location,
                remedy=f"{choices}, or promote {history.name}:{to}",
            )
        position = max(i for i, d in enumerate(before) if d == digest)
    over = [history.numbers[d] for d in reversed(stack[position + 1 :]) if d in history.numbers]
    return stack[position], over


def _stack(store: Store, history: ModelHistory, *, alias: str) -> list[Digest]:
    """Return the artifacts that an alias named, without those that a rollback undid."""
    stack: list[Digest] = []
    moves = [move for move in history.moves if move.alias == alias]
    if moves and moves[0].instead_of is not None:  # named by an earlier release
        stack.append(moves[0].instead_of)
    for move in moves:
        if move.rollback and move.digest in stack:
            while stack[-1] != move.digest:
                stack.pop()
        elif not stack or stack[-1] != move.digest:
            stack.append(move.digest)
    if not stack and (digest := store.alias(history.name, alias)) is not None:
        stack.append(digest)
    return stack


def _alias_of(store: Store, text: str) -> tuple[str, str]:
    """Return the name and the alias in `NAME@ALIAS`, or the only name that has an alias."""
    reference = parse(text)
    if reference.alias is not None and reference.name is not None:
        moves = store.models.history(reference.name).moves
        named = store.alias(reference.name, reference.alias) is not None
        if named or any(move.alias == reference.alias for move in moves):
            return reference.name, reference.alias
    elif reference.alias is not None:
        digest = store.digest_of(reference)
        name = None if digest is None else store.name_of(digest)
        if name is not None and store.alias(name, reference.alias) == digest:
            return name, reference.alias
    store_aliases = store.aliases_by_model()
    choices = [f"{name}@{alias}" for name, own in store_aliases.items() for alias in own]
    raise CallError(
        "is not an alias of the store",
        location=Location(ascii(text)[1:81].strip("'") or "alias"),
        remedy=f"choose {listed(choices)}" if choices else LISTING,
    )


def _name_in(store: Store, verified: Verified) -> str:
    """Return the name of an artifact. Raises CallError if it is not in the store."""
    if verified.digest not in store.artifacts.digests():
        raise CallError(
            f"is not an artifact of the store {store.root}",
            location=Location(str(verified.folder)),
            remedy="artifact-pipeline list shows what is",
        )
    return describe.model_name_of(verified.manifest.recipe)


def _check_is_there(store: Store, verified: Verified) -> None:
    """Check that an artifact was not pruned since it was verified."""
    path = store.artifacts.path(verified.digest)
    if not path.exists():
        raise StoreError("was pruned by another process", location=Location(str(path)))


def evidence_of(store: Store, verified: Verified) -> Evidence:
    """Return what a store knows about an artifact when an alias moves to it."""
    record = record_of(verified.digest, store=store.root)
    try:
        signature: Digest | None = canonical.digest(read_signature(verified.folder))
    except VerificationError:
        signature = None
    return Evidence(
        run=None if record is None else record.run,
        metrics=dict(verified.manifest.metrics.test),
        gates=[] if record is None else record.gates,
        signature=signature,
        signers=[_signer(signer) for signer in required_signers(verified.folder, store=store.root)],
    )


def _signer(signer: object) -> str:
    from artifact_pipeline.verification.signatures import Identity, encode

    if isinstance(signer, Identity):
        return f"{signer.identity} ({signer.oidc_issuer})"
    return canonical.digest(encode(signer))  # type: ignore[arg-type]


def _check_alias(alias: str) -> None:
    if not ALIAS.fullmatch(alias) or alias == LATEST:
        raise CallError(
            "is moved by each run" if alias == LATEST else "is not a valid alias",
            location=Location(ascii(alias)[1:64].rstrip("'")),
            remedy=f"expected a name of lower-case letters, digits and -, such as {CHAMPION}",
        )


def _check_key(key: str) -> None:
    if not TAG_KEY.fullmatch(key):
        raise CallError(
            "is not the key of a tag",
            location=Location(quoted(key)),
            remedy="expected letters, digits, '-', '_', '.' and '/', such as reviewed-by",
        )


def _check_text(text: str | None, what: str) -> None:
    if text is None:
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise CallError("is not UTF-8", location=Location(what)) from error
    if not 0 < len(text) <= MAX_TEXT:
        problem = f"has {len(text)} characters, expected 1 to {MAX_TEXT}"
        raise CallError(problem, location=Location(what))
