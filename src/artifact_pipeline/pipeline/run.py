"""The jobs and their order: test, train, inference; each stops the rest when it fails.

    run(config)      all three
    train(config)    the middle one, with what it needs of the first

A recipe whose artifact is in the store, and still verifies, is not trained again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import msgspec

from artifact_pipeline import disk
from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.artifact import describe
from artifact_pipeline.builder.artifact import manifest as manifests
from artifact_pipeline.builder.build import Built, build
from artifact_pipeline.builder.config import loader
from artifact_pipeline.builder.config.loader import Source
from artifact_pipeline.builder.config.resolved import TableData
from artifact_pipeline.builder.formats import base
from artifact_pipeline.disk import write_atomically
from artifact_pipeline.errors import (
    GateMissed,
    PipelineError,
    ReproductionDiffers,
    StoreError,
    TestsFailed,
    VerificationError,
)
from artifact_pipeline.inference.predictor import load_predictor
from artifact_pipeline.pipeline import gates as rivals
from artifact_pipeline.pipeline.gates import judge
from artifact_pipeline.pipeline.plan import Plan, plan, revise, start
from artifact_pipeline.pipeline.publish import publish_report
from artifact_pipeline.pipeline.record import Listener, Previous, Record, Run, begin, job
from artifact_pipeline.store import local_state, provenance
from artifact_pipeline.store.access import mark_made_here
from artifact_pipeline.store.artifact_folder import MAX_REPORT
from artifact_pipeline.store.journal import printable
from artifact_pipeline.store.pointers import LATEST
from artifact_pipeline.store.store import Store
from artifact_pipeline.verification.verify import Verified


def run(
    source: Source = loader.DEFAULT_PATH,
    *,
    store: str | os.PathLike[str] | None = None,
    tests: str | None = None,
    gates: str | None = None,
    force: bool = False,
    listener: Listener | None = None,
) -> Run:
    """Check a config, train its model into a sealed artifact, and predict with it.

    `tests` is a path that pytest runs on first. `gates` is JSON that stands in the place of the
    config's gates. `force` trains a known recipe again and compares.

    Raises:
        ConfigError, DataError: if what is asked for is wrong.
        TestsFailed, GateMissed, ReproductionDiffers: if the work ran and the answer is no.
        StoreError: if the store or the machine fails.
    """
    jobs = ("test", "train", "inference")
    return _execute(source, Store(store), jobs, tests, gates, force, listener)


def train(
    source: Source = loader.DEFAULT_PATH,
    *,
    store: str | os.PathLike[str] | None = None,
    gates: str | None = None,
    force: bool = False,
    model: str | os.PathLike[str] | None = None,
    listener: Listener | None = None,
) -> Run:
    """Train the model of a config into a sealed artifact. Raises as `run`.

    `model` is where to leave the estimator as a pickle that `load_model` opens: one that this
    checkout wrote, so a store from elsewhere is not taken at its word, but trained again.
    """
    return _execute(source, Store(store), ("train",), None, gates, force, listener, model)


def _execute(
    source: Source,
    store: Store,
    jobs: tuple[str, ...],
    tests: str | None,
    gates: str | None,
    force: bool,
    listener: Listener | None,
    model: str | os.PathLike[str] | None = None,
) -> Run:
    began = time.perf_counter()
    git = provenance.GitStatus(Path.cwd())
    name = "(a dict)" if isinstance(source, dict) else os.fspath(source)
    record = begin(name)
    made: Plan | None = None
    try:
        with job("test", "test" in jobs, record, listener) as note:
            if tests is not None:
                _pytest(tests)
            given = None if gates is None else loader.load_gates(gates, "--gates")
            made = plan(source)
            if given is not None:
                made = made._replace(config=msgspec.structs.replace(made.config, gates=given))
            record.recipe, record.recipe_digest = made.recipe, made.recipe_digest
            record.observed = made.observed
            if isinstance(made.config.data, TableData):
                place = Path(made.base, made.config.data.path).absolute()
                record.data = printable(str(place))
            known = made.recipe.data
            note.append(f"config and data are in order: {known.title}, ")
            note.append(f"{known.schema.rows} rows of {known.schema.features} features")
        with made.trainer or nullcontext():
            with job("train", True, record, listener) as note:
                verified, held_out = _train(made, store, force, record, note, model)
            if "inference" in jobs:
                with job("inference", True, record, listener) as note:
                    _infer(verified, held_out, note)
        record.outcome = "done"
        return _summary(record, store)
    except PipelineError as error:
        if isinstance(error, GateMissed):
            record.outcome = "gate-missed"
            error.run = _summary(record, store)
        message, where = printable(error.message), error.where and printable(error.where)
        record.error = {"kind": error.kind, "message": message, "where": where}
        raise
    finally:
        record.git = git.result()
        if made is not None:  # a config that does not parse is no execution
            record.host = provenance.host()
            record.seconds = time.perf_counter() - began
            store.journal.write_run(record.run, record)


def _train(
    made: Plan,
    store: Store,
    force: bool,
    record: Record,
    note: list[str],
    model: str | os.PathLike[str] | None,
) -> tuple[Verified, Any]:
    """Return the artifact of the recipe, and the held-out rows if it was trained just now."""
    known = _stored(made, store, note)
    if known is not None and model is not None and not _is_ours(known):
        force = True
    if known is not None and not force:
        record.cached = True
        verified, held_out = known, None
        note.append("nothing to train: the artifact of this recipe is in the store, and verified")
    else:
        store.folder.sweep()
        local_state.sweep()
        made, built = _build(made, record)
        held_out = built.trained
        verified = mark_made_here(store.add(built.files))
        digest = verified.digest
        recipe_digest = verified.manifest.recipe_digest
        if known is not None and known.manifest.recipe_digest != recipe_digest:
            known = None  # the trainer was not under the profile that the plan took for given
        if known is not None and known.digest != digest:
            raise ReproductionDiffers(
                f"the recipe gave {digest} now, and {known.digest} before; "
                f"compare them: artifact-pipeline diff {known.digest[7:19]} {digest[7:19]}",
                where=recipe_digest,
            )
        rows = verified.manifest.split.rows.train
        note.append(f"{describe.title(made.recipe)} on {rows} rows")
        note.append(", again, and identical to the byte" if known is not None else "")
    _report(verified, store)
    record.artifact, record.metrics = verified.digest, verified.manifest.metrics
    record.previous = _previous(verified, store)
    gates = made.config.gates
    against = rivals.baselines(gates, verified.manifest, store.root)
    record.gates = judge(msgspec.to_builtins(record.metrics), gates, against)
    if missed := [verdict for verdict in record.gates if not verdict.passed]:
        raise GateMissed("; ".join(map(str, missed)), where="gate")
    store.aliases.set(LATEST, verified.digest)
    if model is not None:
        write_atomically(Path(model), verified.files[manifests.MODEL_PICKLE])
    return verified, held_out


def _build(made: Plan, record: Record) -> tuple[Plan, Built]:
    """Return the files of a new artifact, and the plan that they were made by.

    That is another where the trainer turns out to compute under another numeric profile.
    """
    with nullcontext(made.trainer) if made.trainer else start(made, record.config) as trainer:
        record.observed = trainer.resolved.observed
        if trainer.resolved.profile != made.recipe.numerics.profile:
            made = revise(made, trainer)
            record.recipe, record.recipe_digest = made.recipe, made.recipe_digest
        where = f"{record.config}: model"
        built = build(made.recipe, trainer, where=where, warning=made.warning)
    record.warnings, record.parity_measured = built.warnings, built.parity_measured
    return made, built


def _previous(verified: Verified, store: Store) -> Previous | None:
    """Return the latest artifact before this one, if it verifies and was measured on the same
    rows; its metrics are all that is taken of it."""
    try:
        digest = store.aliases.get(LATEST)
        if digest in (None, verified.digest):
            return None
        manifest = store.artifacts.open(digest).manifest
    except (StoreError, VerificationError):
        return None
    if manifest.split != verified.manifest.split:
        return None
    if manifest.recipe.data != verified.manifest.recipe.data:
        return None
    return Previous(digest, manifest.metrics)


def _report(verified: Verified, store: Store) -> None:
    """Write the report beside the artifact, unless what lies there is what this checkout wrote."""
    path = store.artifacts.report_path(verified.digest)
    try:
        data = disk.read_file(path, limit=MAX_REPORT, remedy="it is written again")
    except StoreError:
        data = None  # replaced below, or else that fails
    if data is not None and local_state.wrote(local_state.REPORT, canonical.digest(data)):
        return
    publish_report(verified, store)


def _is_ours(verified: Verified) -> bool:
    """Return whether this checkout wrote the pickle of an artifact."""
    name = manifests.MODEL_PICKLE
    return local_state.wrote(name, verified.manifest.digest_of(name))


def _stored(made: Plan, store: Store, note: list[str]) -> Verified | None:
    try:
        return store.find(made.recipe_digest)
    except VerificationError as error:
        note.append(f"the stored artifact did not verify ({error}), so it was made again: ")
        return None


def _infer(verified: Verified, held_out: Any, note: list[str]) -> None:
    """Predict the held-out rows with the artifact as it lies in the store."""
    rows = verified.manifest.split.rows.test
    if held_out is None:
        note.append(f"{rows} held-out rows were predicted when it was sealed; outcome repeated")
        return
    outputs = load_predictor(verified).run(held_out.rows)
    other = base.differ(outputs, held_out.outputs, verified.manifest.parity.bound)
    agreed = rows - int(other.sum())
    note.append(f"{rows} held-out rows predicted by the verified artifact, {agreed} as trained")


def _pytest(path: str) -> None:
    # pytest reads options even behind `--`, so a path must not look like one.
    place = f"./{path}" if path.startswith("-") else path
    command = [sys.executable, "-m", "pytest", "-q", place]
    code = subprocess.run(command, stdout=sys.stderr, check=False).returncode
    if code:
        raise TestsFailed(f"pytest ended with exit code {code}; nothing was trained", where=path)


def _summary(record: Record, store: Store) -> Run:
    assert record.artifact and record.recipe_digest and record.metrics
    return Run(
        run=record.run,
        digest=record.artifact,
        recipe_digest=record.recipe_digest,
        artifact=str(store.artifacts.path(record.artifact)),
        report=str(store.artifacts.report_path(record.artifact)),
        record=str(store.journal.run_path(record.run)),
        cached=record.cached,
        metrics=record.metrics,
        gates=record.gates,
        previous=record.previous,
        warnings=record.warnings,
        jobs=record.jobs,
    )
