"""The Markdown of a comment on a pull request: the changes of a run, and its gates.

Names, classes, aliases and notes are untrusted text. They are written as code spans, where GitHub
renders no markup, HTML, links, mentions or emoji; a backslash does not prevent mentions.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import NamedTuple

from artifact_pipeline.builder.artifact.digits import headline_sentence
from artifact_pipeline.builder.artifact.manifest import Metrics
from artifact_pipeline.builder.escapes import write_out
from artifact_pipeline.builder.metric_table import BY_NAME, figure, heading
from artifact_pipeline.cli import output
from artifact_pipeline.errors import StoreError, VerificationError
from artifact_pipeline.pipeline.gates import Verdict
from artifact_pipeline.pipeline.held_out_outputs import other_rows
from artifact_pipeline.pipeline.record import Record
from artifact_pipeline.store.pointers import CHAMPION
from artifact_pipeline.store.store import Store
from artifact_pipeline.verification.verify import Verified

_MAX_ROWS = 30
"""Maximum rows of a table."""
_MAX_TEXT = 160
"""Maximum characters of an untrusted text."""


class _Other(NamedTuple):
    """The artifact that a run is compared with."""

    title: str
    metrics: Metrics
    problem: str | None
    """A sentence on why no differences are shown."""


def write(run: Record, store: Store, *, commit: str = "") -> str:
    """Return the Markdown about a run.

    Args:
        run: Its record, which names an artifact.
        store: The store of the artifact and of the champion.
        commit: The trained commit, to show.

    Raises:
        StoreError, VerificationError: If the artifact cannot be read or does not verify.
    """
    assert run.artifact is not None and run.metrics is not None
    artifact = store.artifacts.open(run.artifact)
    champion = _champion(str(run.name), store)
    is_champion = champion is not None and champion.digest == artifact.digest
    other = None if is_champion else _other(run, artifact, champion=champion, store=store)
    sentence = headline_sentence(run.metrics, artifact.evaluation())
    parts = [
        f"### {code(str(run.name))}: {_verdict(run.gates)}",
        f"{sentence}." if sentence else "",
        _metrics(run.metrics, other),
        _remark(is_champion, other),
        _gates(run.gates),
        _origin(run, commit=commit),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _champion(name: str, store: Store) -> Verified | None:
    try:
        digest = store.alias(name, CHAMPION)
        return None if digest is None else store.artifacts.open(digest)
    except (StoreError, VerificationError) as error:
        output.say(f"warning: the champion is left out: {error}")
        return None


def _other(
    run: Record, artifact: Verified, *, champion: Verified | None, store: Store
) -> _Other | None:
    """Return the champion, or else the artifact of the run before."""
    if champion is not None:
        version = store.models.history(str(run.name)).numbers.get(champion.digest)
        title = CHAMPION if version is None else f"{CHAMPION}, version {version}"
        reason = other_rows(artifact.manifest, champion.manifest)
        problem = None if reason is None else f"No differences are shown: the champion {reason}."
        return _Other(title, champion.manifest.metrics, problem)
    if run.previous is not None:
        return _Other(f"run before, {run.previous.digest[7:19]}", run.previous.metrics, None)
    return None


def _remark(is_champion: bool, other: _Other | None) -> str:
    """Return a sentence about the comparison, if it is not complete."""
    if is_champion:
        return "This artifact is the champion."
    if other is None:
        return "There is no champion to compare with."
    return other.problem or ""


def _verdict(gates: Sequence[Verdict]) -> str:
    missed = sum(not gate.passed for gate in gates)
    unjudged = sum(not gate.judged for gate in gates)
    if not gates:
        return "no gates"
    if missed:
        return f"{missed} of {len(gates)} gates missed"
    more = f", {unjudged} of them not judged" if unjudged else ""
    return f"{len(gates)} of {len(gates)} gates passed{more}"


def _metrics(metrics: Metrics, other: _Other | None) -> str:
    head = ["held-out rows", "this run"]
    if other is not None:
        head = ["held-out rows", other.title, "this run", "difference"]
    rows = []
    for name in dict.fromkeys([*BY_NAME, *metrics.test]):
        if name not in metrics.test:
            continue
        row = [heading(name) if name in BY_NAME else code(name), figure(metrics.test[name])]
        if other is not None:
            before = other.metrics.test.get(name)
            row.insert(1, "" if before is None else figure(before))
            row.append(
                ""
                if before is None or other.problem is not None
                else _difference(name, metrics.test[name] - before)
            )
        rows.append(row)
    return _table(head, rows)


def _difference(name: str, change: float) -> str:
    sign = "+" if change > 0 else ""
    if change == 0 or name not in BY_NAME:
        return f"{sign}{figure(change)}"
    is_better = (change < 0) == BY_NAME[name].lower_is_better
    return f"{sign}{figure(change)} {'better' if is_better else '**worse**'}"


def _gates(gates: Sequence[Verdict]) -> str:
    rows = []
    for gate in gates:
        outcome = "**missed**" if not gate.passed else "passed" if gate.judged else "**not judged**"
        rows.append([outcome, code(str(gate))])
    return _table(["gate", ""], rows, numbers=False) if rows else ""


def _origin(run: Record, *, commit: str) -> str:
    """Return where a run comes from, with a link to the page of the job that has its report."""
    parts = [f"version {run.version}", f"digest `{str(run.artifact)[7:19]}`"]
    server = os.environ.get("GITHUB_SERVER_URL", "")
    repository, job = os.environ.get("GITHUB_REPOSITORY", ""), os.environ.get("GITHUB_RUN_ID", "")
    page = f"{server}/{repository}"
    is_page = re.fullmatch(r"https?://[\w.:-]+/[\w.-]+/[\w.-]+", page) is not None
    if commit:
        link = f"[`{commit[:7]}`]({page}/commit/{commit})"
        parts.append(f"commit {link if is_page else f'`{commit[:7]}`'}")
    if is_page and job.isdecimal():
        parts.append(f"[report and log]({page}/actions/runs/{job})")
    return " · ".join(parts)


def _table(head: Sequence[str], rows: list[list[str]], *, numbers: bool = True) -> str:
    ruler = ["---", *["---:" if numbers else "---"] * (len(head) - 1)]
    lines = [list(head), ruler, *rows[:_MAX_ROWS]]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    more = len(rows) - _MAX_ROWS
    return f"{text}\n\nand {more} more" if more > 0 else text


def code(text: str) -> str:
    r"""Return a text as a code span that may be a cell of a table.

    Backticks are escaped too: cmark ends no span at a run of more than 80.

    >>> print(code("a | b"), code("`@all`"))
    `a \x7c b` `\x60@all\x60`
    """
    line = " ".join(write_out(text).split()) or " "
    if len(line) > _MAX_TEXT:
        line = line[:_MAX_TEXT] + "…"
    for sign in "|`":
        line = line.replace(sign, f"\\x{ord(sign):02x}")
    return f"`{line}`"
