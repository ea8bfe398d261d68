"""The board: one HTML page that compares all runs of a store, without a server or the network.

The page has one style sheet and one script, both allowed by their hashes, and its data as JSON in a
script element that is not executed. The script sets every text as text.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import islice
from pathlib import Path
from urllib.parse import quote

import msgspec
from msgspec import Struct

from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.builder.escapes import write_out
from artifact_pipeline.builder.metric_table import BY_NAME, heading, title
from artifact_pipeline.disk import translate_os_errors, write_atomically
from artifact_pipeline.errors import (
    ArtifactNotFound,
    CallError,
    Location,
    VerificationError,
)
from artifact_pipeline.report import blocks
from artifact_pipeline.store.folder import DEFAULT_STORE
from artifact_pipeline.store.history import HistoryEntry, history
from artifact_pipeline.store.pointers import CHAMPION
from artifact_pipeline.store.references import PathLike
from artifact_pipeline.store.run_fields import param_title
from artifact_pipeline.store.run_rows import RunRow, Scalar
from artifact_pipeline.store.run_versions import iterate
from artifact_pipeline.store.store import Store

INDEX = "index.html"
REPORTS = "reports"
MAX_RUNS = 10_000
"""Runs on a page, the newest ones; more would make it tens of megabytes."""
_HERE = Path(__file__).parent


class Board(Struct, frozen=True, kw_only=True):
    """A board that was written."""

    page: str
    runs: int
    """The number of runs on the page: the newest ones, if the store has more than `MAX_RUNS`."""
    of: int
    """The number of runs of the store."""
    reports: int
    """The number of reports that were written beside it."""


def write_board(output: PathLike, *, store: PathLike | None = None) -> Board:
    """Write a page that compares all runs of a store.

    Args:
        output: A file whose name ends with `.html`, which links to the reports in the store, or a
            folder, which gets `index.html` and the reports of all artifacts that verify.
        store: The store.

    Raises:
        CallError: If the output is inside the store.
        StoreError: If the store cannot be read or the output cannot be written.
    """
    target, output = Store(store), Path(output)
    is_file = output.suffix.lower() in (".html", ".htm") and not output.is_dir()
    _check_outside(output, target)
    rows = list(islice(iterate(target), MAX_RUNS))
    count = target.run_index.count() if len(rows) == MAX_RUNS else len(rows)
    digests = list(dict.fromkeys(row.digest for row in rows if row.digest is not None))
    if is_file:
        page, links = output, _links_to_store(digests, target, folder=output.parent)
        reports = 0
    else:
        page = output / INDEX
        links = _write_reports(digests, target, folder=output / REPORTS)
        reports = len(links)
    with translate_os_errors(page):
        page.parent.mkdir(parents=True, exist_ok=True)
    html = document(rows, _moves(rows, target), links=links, name=_name(target), count=count)
    write_atomically(page, html.encode())
    return Board(page=str(page), runs=len(rows), of=count, reports=reports)


def document(
    rows: Sequence[RunRow],
    moves: Sequence[HistoryEntry],
    *,
    links: Mapping[Digest, str],
    name: str,
    count: int,
) -> str:
    """Return the page; the same arguments give the same text.

    Args:
        rows: The runs, newest first.
        moves: The moves of the alias `champion`, oldest first.
        links: The address of the report of each artifact that has one.
        name: The name of the store, for the heading.
        count: The number of runs of the store, which may be more than `rows` has.
    """
    style = blocks.style() + (_HERE / "board.css").read_text("utf-8")
    script = (_HERE / "board.js").read_text("utf-8")
    policy = (
        f"default-src 'none'; style-src {blocks.hashes(style)}; "
        f"script-src {blocks.hashes(script)}; base-uri 'none'; form-action 'none'"
    )
    models = dict.fromkeys(row.name for row in rows if row.name is not None)
    shown = f"the newest {len(rows):,} of {count:,}" if count > len(rows) else f"{count:,}"
    summary = f"{shown} runs of {len(models):,} models" if rows else "no runs yet"
    parts = {
        "policy": policy,
        "title": blocks.escape(f"Runs of {name}"),
        "style": style,
        "summary": summary,
        "data": embedded(_data(rows, moves, links=links)),
        "script": script,
    }
    html = (_HERE / "board.html").read_text("utf-8")
    before, *rest = html.split("{")
    pieces = [before]
    for piece in rest:  # no part is searched for the name of another
        name, _, after = piece.partition("}")
        pieces += [parts[name], after]
    return "".join(pieces)


def embedded(value: object) -> str:
    """Return a value as JSON that cannot end a script element or open a comment in one."""
    text = msgspec.json.encode(value).decode()
    escapes = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}
    return text.translate(escapes)


def _data(
    rows: Sequence[RunRow], moves: Sequence[HistoryEntry], *, links: Mapping[Digest, str]
) -> dict[str, object]:
    models = list(dict.fromkeys(row.name for row in rows if row.name is not None))
    params = list(dict.fromkeys(name for row in rows for name in _settings(row)))
    measured = {name for row in rows for name in row.test}
    metrics = [name for name in BY_NAME if name in measured]
    metrics += sorted(measured - BY_NAME.keys())
    return {
        "models": [write_out(name) for name in models],
        "params": [write_out(param_title(name, params)) for name in params],
        "metrics": [
            {
                "title": write_out(heading(name)),
                "word": write_out(title(name)),
                "lower": name in BY_NAME and BY_NAME[name].lower_is_better,
                "headline": name in BY_NAME and BY_NAME[name].headline,
            }
            for name in metrics
        ],
        "runs": [_run(row, models, params=params, metrics=metrics, links=links) for row in rows],
        "moves": [
            [
                models.index(move.name),
                _milliseconds(move.when),
                move.version,
                move.digest[7:19],
                write_out(move.by or ""),
                write_out(move.message or ""),
                "rollback" if move.rollback else move.event,
            ]
            for move in moves
        ],
    }


def _run(
    row: RunRow,
    models: Sequence[str],
    *,
    params: Sequence[str],
    metrics: Sequence[str],
    links: Mapping[Digest, str],
) -> list[object]:
    """Return a run in the order in which board.js reads it."""
    settings = _settings(row)
    commit = write_out((row.commit or "")[:7]) + ("*" if row.dirty else "")
    return [
        write_out(row.run),
        _milliseconds(row.started),
        round(row.seconds, 3),
        write_out(row.outcome),
        -1 if row.name is None else models.index(row.name),
        row.version,
        (row.digest or "")[7:19],
        row.cached,
        row.is_champion,
        row.gates or "",
        commit,
        write_out(row.data or ""),
        write_out(row.estimator or ""),
        write_out(row.error or ""),
        links.get(row.digest or ""),
        _rounded(row.change),
        [write_out(value) if isinstance(value, str) else value
         for value in (settings.get(name) for name in params)],
        [_rounded(row.test.get(name)) for name in metrics],
    ]  # fmt: skip


def _settings(row: RunRow) -> dict[str, Scalar | None]:
    groups = {"params": row.params, "search": row.search, "split": row.split}
    return {
        f"{group}.{name}": value for group, own in groups.items() for name, value in own.items()
    }


def _rounded(value: float | None) -> float | None:
    """Return a figure with the digits that the page can show."""
    return None if value is None else float(f"{value:.7g}")


def _milliseconds(moment: str) -> int | None:
    """Return a time as a browser counts it: from 1970."""
    if not moment:
        return None
    return round(datetime.fromisoformat(moment).timestamp() * 1000)


def _moves(rows: Sequence[RunRow], store: Store) -> list[HistoryEntry]:
    """Return the moves of the champion of each model that has runs, oldest first."""
    moves: list[HistoryEntry] = []
    for name in dict.fromkeys(row.name for row in rows if row.name is not None):
        with suppress(ArtifactNotFound):  # it has no version yet
            moves += [
                entry
                for entry in reversed(history(name, store=store.root))
                if entry.event in ("moved", "removed") and entry.alias == CHAMPION
            ]
    return moves


def _name(store: Store) -> str:
    """Return the name of a store's folder, or of the project folder for the default store."""
    root = store.root.absolute()
    return (root.parent.name if root.name == DEFAULT_STORE else root.name) or "a store"


def _check_outside(output: Path, store: Store) -> None:
    with translate_os_errors(output):
        root, path = store.root.resolve(), output.resolve()
    if path == root or root in path.parents:
        raise CallError(
            "is inside the store, which is only for artifacts and records",
            location=Location(str(output)),
            remedy="name a file or a folder outside of it",
        )


def _links_to_store(digests: Sequence[Digest], store: Store, *, folder: Path) -> dict[Digest, str]:
    """Return the addresses of the reports in a store, as a page in `folder` links to them."""
    links = {}
    for digest in digests:
        path = store.artifacts.report_path(digest)
        if path.is_file():
            try:
                relative = os.path.relpath(path, folder)
                links[digest] = quote(os.fsencode(relative.replace(os.sep, "/")))
            except ValueError:  # on another drive of Windows
                links[digest] = path.absolute().as_uri()
    return links


def _write_reports(digests: Sequence[Digest], store: Store, *, folder: Path) -> dict[Digest, str]:
    """Write the reports of artifacts that verify, and return their addresses from above `folder`.

    They are written anew, because the files in the store are not part of a verified artifact.
    """
    from artifact_pipeline.report import context, page

    links = {}
    for digest in digests:
        try:
            artifact = store.artifacts.open(digest)
            html = page.write(artifact, run=context.find(artifact, store))
        except VerificationError:
            continue
        path = folder / f"{digest[7:19]}.html"
        with translate_os_errors(path):
            folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, html.encode())
        links[digest] = f"{folder.name}/{path.name}"
    return links
