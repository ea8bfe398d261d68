"""The jobs test, train and inference in this order; each runs only if the one before succeeded.

    run("config/config.json")      all three
    train("config/config.json")    the config's checks and the training

A recipe whose artifact is in the store, and still verifies, is not trained again.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import msgspec

from artifact_pipeline import disk
from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.artifact import describe
from artifact_pipeline.builder.artifact import manifest as manifests
from artifact_pipeline.builder.config.resolved import Gate, ResolvedConfig, TableData
from artifact_pipeline.builder.config.source import DEFAULT_PATH, Source
from artifact_pipeline.builder.data import remote_files
from artifact_pipeline.builder.data.remote_files import RemotePath
from artifact_pipeline.disk import write_atomically
from artifact_pipeline.errors import (
    GateMissed,
    Location,
    MissingDependency,
    PipelineError,
    ReproductionDiffers,
    StoreError,
    TestsFailed,
    VerificationError,
)
from artifact_pipeline.log import Log
from artifact_pipeline.pipeline.gates import Verdict, baseline_of, judge, unjudged
from artifact_pipeline.pipeline.incumbents import incumbents
from artifact_pipeline.pipeline.plan import Plan, planned, started
from artifact_pipeline.pipeline.progress import notebook_listener
from artifact_pipeline.pipeline.record import (
    Job,
    JobLog,
    Listener,
    Previous,
    Record,
    Run,
    RunningJob,
    begin,
    failure,
)
from artifact_pipeline.report.write import publish_report
from artifact_pipeline.store import local_state, provenance
from artifact_pipeline.store.access import check_integrity, mark_made_here
from artifact_pipeline.store.artifact_folder import MAX_REPORT
from artifact_pipeline.store.journal import PastRun, printable
from artifact_pipeline.store.pointers import LATEST
from artifact_pipeline.store.references import PathLike
from artifact_pipeline.store.store import Store
from artifact_pipeline.verification.verify import Verified

if TYPE_CHECKING:
    from artifact_pipeline.builder.build import Built
    from artifact_pipeline.builder.dask_cluster import Cluster
    from artifact_pipeline.builder.training.trainer import Trained, Trainer
    from artifact_pipeline.pipeline.held_out_outputs import HeldOutOutputs

Engine: TypeAlias = Literal["local", "dask"]

_NO_FITS = (
    "nothing ran on the Dask cluster: the config has neither search nor evaluation.cv, and the fit "
    "of a single model stays on this machine."
)

# A run that trains nothing imports neither the trainer nor the opening of models.
log = Log(__name__)


def run(
    source: Source = DEFAULT_PATH,
    *,
    store: str | os.PathLike[str] | None = None,
    tests: str | None = None,
    data: PathLike | None = None,
    gates: str | None = None,
    force: bool = False,
    engine: Engine = "local",
    scheduler: str | None = None,
    listener: Listener | None = None,
) -> Run:
    """Check a config, train its model into a sealed artifact, and predict with the artifact.

    Args:
        source: The path of a config file, or the dict that its JSON would give.
        store: The store to write to; by default $ARTIFACT_PIPELINE_STORE or `artifacts`.
        tests: A path to run pytest on first.
        data: Where to read the table instead of at `data.path`: a path or an address in an object
            store. The recipe contains no path, so the same rows give the same artifact.
        gates: JSON that replaces the config's gates.
        force: Train even if the store has the artifact, and compare the two.
        engine: `dask` runs the fits of a search and of a cross-validation on a Dask cluster. The
            artifact has the same bytes.
        scheduler: The address of the Dask scheduler; by default a cluster starts on this machine.
        listener: Called when a job starts and when it ends; in a notebook, jobs are printed by
            default.

    Raises:
        CallError: If `data` is given and the config reads no table, or `scheduler` is given and
            `engine` is not `dask`.
        ConfigError, DataError: If the config or its rows are wrong.
        TestsFailed, GateMissed, ReproductionDiffers: If the work ran and a check failed.
        StoreError, TrainerDied: If the store or the machine fails.
        MissingDependency, NetworkError, EnvironmentFailure: If the cluster fails.
    """
    jobs, cluster = ("test", "train", "inference"), _cluster(engine, scheduler)
    return _execute(
        source, Store(store), jobs=jobs, tests=tests, data=data, gates=gates, force=force,
        cluster=cluster, listener=listener,
    )  # fmt: skip


def train(
    source: Source = DEFAULT_PATH,
    *,
    store: str | os.PathLike[str] | None = None,
    data: PathLike | None = None,
    gates: str | None = None,
    force: bool = False,
    model: str | os.PathLike[str] | None = None,
    engine: Engine = "local",
    scheduler: str | None = None,
    listener: Listener | None = None,
) -> Run:
    """Train the model of a config into a sealed artifact. Raises as `run`.

    Args:
        source: As for `run`.
        store: As for `run`.
        data: As for `run`.
        gates: As for `run`.
        force: As for `run`.
        model: Where to write a copy of the artifact's pickle, for `load_model`. An artifact whose
            pickle was not written by this checkout is trained again for it.
        engine: As for `run`.
        scheduler: As for `run`.
        listener: As for `run`.
    """
    cluster = _cluster(engine, scheduler)
    return _execute(
        source, Store(store), jobs=("train",), data=data, gates=gates, force=force, model=model,
        cluster=cluster, listener=listener,
    )  # fmt: skip


def _cluster(engine: Engine, scheduler: str | None) -> Cluster | None:
    if engine == "local" and scheduler is None:
        return None
    from artifact_pipeline.builder.dask_cluster import cluster_of

    return cluster_of(engine, scheduler)


def _execute(
    source: Source,
    store: Store,
    *,
    jobs: tuple[str, ...],
    tests: str | None = None,
    data: PathLike | None = None,
    gates: str | None = None,
    force: bool = False,
    model: str | os.PathLike[str] | None = None,
    cluster: Cluster | None = None,
    listener: Listener | None = None,
) -> Run:
    start = time.perf_counter()
    git = provenance.GitStatus(Path.cwd())
    record = begin("(a dict)" if isinstance(source, dict) else os.fspath(source))
    job_log = JobLog(listener or notebook_listener())
    try:
        with ExitStack() as stack:  # holds the trainer process, once one is needed
            with job_log.job("test", shown_by=None if "test" in jobs else "train") as job:
                if tests is not None:
                    _run_tests(tests)
                override = None if gates is None else _load_gates(gates)
                plan, trainer = stack.enter_context(planned(source, data=data, report=job.progress))
                required = plan.config.gates if override is None else override
                record.recipe, record.recipe_digest = plan.recipe, plan.recipe_digest
                record.observed = plan.observed
                path = _table_path(plan)
                record.data = None if path is None else printable(str(path))
                record.config_text, record.by = plan.text, provenance.user()
                name, rows = describe.model_name_of(plan.recipe), plan.recipe.data.schema
                job.note = f"{name}: {rows.rows} rows, {rows.features} features"
            with job_log.job("train") as job:
                stored = _stored(plan, store)
                artifact, trained = _reusable(stored.artifact, force=force, model=model), None
                if artifact is not None:
                    record.cached = True
                    job.note = "nothing to train, the store has this recipe"
                else:
                    job.note = stored.problem
                    if trainer is None:
                        plan, trainer = stack.enter_context(started(plan, report=job.progress))
                        record.recipe, record.recipe_digest = plan.recipe, plan.recipe_digest
                        record.observed = plan.observed
                    built = _build(plan, trainer, store=store, job=job, cluster=cluster)
                    record.warnings, record.parity_measured = built.warnings, built.parity_measured
                    artifact, trained = _add(built, store, stored=stored.artifact), built.trained
                    job.note += _training_note(artifact, stored.artifact)
                record.name = describe.model_name_of(artifact.manifest.recipe)
                record.version = store.models.assign(record.name, artifact.digest)
                record.artifact, record.metrics = artifact.digest, artifact.manifest.metrics
                record.previous = _previous(artifact, store)
                config = plan.name if override is None else "--gates"
                record.gates = _judge(artifact, store, gates=required, config=config, path=path)
                record.warnings = [*record.warnings, *unjudged(record.gates)]
                if cluster is not None and not _has_fits(plan.config):
                    record.warnings.append(_NO_FITS)
                record.git = git.result()
                _write_report(artifact, store, record=record)
                _check_gates(record.gates)
                store.set_latest(artifact)
                if model is not None:
                    write_atomically(Path(model), artifact.files[manifests.MODEL_PICKLE])
            if "inference" in jobs:
                with job_log.job("inference") as job:
                    job.note = _infer(artifact, trained)
        record.outcome = "done"
        return _result(record, store, jobs=job_log.jobs)
    except PipelineError as error:
        if isinstance(error, GateMissed):
            record.outcome = "gate-missed"
            error.run = _result(record, store, jobs=job_log.jobs)
        record.error = failure(error)
        raise
    finally:
        record.git = git.result()
        if record.recipe is not None:  # a run with an invalid config is not recorded
            record.jobs, record.host = job_log.jobs, provenance.host()
            record.seconds = time.perf_counter() - start
            store.write_run(record.run, record)


class _Stored(NamedTuple):
    """The artifact of a recipe in the store, or why it cannot be used."""

    artifact: Verified | None
    problem: str = ""


def _stored(plan: Plan, store: Store) -> _Stored:
    try:
        with log.timed("look up and verify the artifact of recipe %s", plan.recipe_digest):
            return _Stored(store.find(plan.recipe_digest))
    except VerificationError as error:
        return _Stored(None, f"the stored artifact did not verify ({error}) and was replaced: ")


def _reusable(
    artifact: Verified | None, *, force: bool, model: str | os.PathLike[str] | None
) -> Verified | None:
    """Return the stored artifact if it makes training unnecessary.

    Its pickle is copied to `model` only if this checkout wrote it.
    """
    if artifact is None or force:
        return None
    name = manifests.MODEL_PICKLE
    wrote = model is None or local_state.wrote(name, artifact.manifest.digest_of(name))
    return artifact if wrote else None


def _has_fits(config: ResolvedConfig) -> bool:
    """Return whether a config has fits that a cluster can run."""
    evaluation = config.evaluation
    return config.search is not None or (evaluation is not None and evaluation.cv is not None)


def _build(
    plan: Plan, trainer: Trainer, *, store: Store, job: RunningJob, cluster: Cluster | None
) -> Built:
    from artifact_pipeline.builder.build import build

    store.folder.sweep()
    local_state.sweep()
    location = Location(plan.name, key="model")
    with log.timed("train, prove and seal the model"):
        return build(
            plan.recipe,
            trainer,
            location=location,
            warning=plan.warning,
            report=job.progress,
            cluster=cluster,
        )


def _add(built: Built, store: Store, *, stored: Verified | None) -> Verified:
    """Add a new artifact to the store and return it, after comparing it with the stored one.

    Raises:
        ReproductionDiffers: If the store has another artifact of the same recipe.
    """
    with log.timed("store the artifact"):
        artifact = mark_made_here(store.add(built.files))
    recipe_digest = artifact.manifest.recipe_digest
    # The recipe of the stored artifact differs if the trainer has a lesser numeric profile.
    if (
        stored is not None
        and stored.manifest.recipe_digest == recipe_digest
        and stored.digest != artifact.digest
    ):
        raise ReproductionDiffers(
            f"the recipe gave {artifact.digest} now, but {stored.digest} before",
            location=Location(recipe_digest),
            remedy="compare them: artifact-pipeline compare "
            f"{stored.digest[7:19]} {artifact.digest[7:19]}",
        )
    return artifact


def _training_note(artifact: Verified, stored: Verified | None) -> str:
    manifest = artifact.manifest
    note = f"{describe.title(manifest.recipe)} on {manifest.split.rows.train} rows"
    is_same = stored is not None and stored.digest == artifact.digest
    return f"{note}, again, and identical to the byte" if is_same else note


def _judge(
    artifact: Verified,
    store: Store,
    *,
    gates: Mapping[str, Gate],
    config: str,
    path: Path | RemotePath | None,
) -> list[Verdict]:
    """Return the verdicts on an artifact, compared with other artifacts where gates name them.

    Raises:
        ConfigError: If a metric was not measured.
    """
    return judge(
        artifact.manifest.metrics,
        gates,
        incumbents=incumbents(
            gates,
            artifact.manifest,
            store=store.root,
            candidate=partial(_held_out, artifact, store, path=path),
            data=path,
        ),
        baseline=baseline_of(gates, artifact),
        config=config,
    )


def _check_gates(verdicts: list[Verdict]) -> None:
    if missed := [verdict for verdict in verdicts if not verdict.passed]:
        raise GateMissed("; ".join(map(str, missed)), location=Location("gate"))


def _previous(artifact: Verified, store: Store) -> Previous | None:
    """Return digest and metrics of the artifact that `latest` of its name names.

    None if there is none, it is this one, it does not verify, or it has other held-out rows.
    """
    try:
        digest = store.alias(describe.model_name_of(artifact.manifest.recipe), LATEST)
        if digest in (None, artifact.digest):
            return None
        manifest = store.artifacts.open(digest).manifest
    except (StoreError, VerificationError):
        return None
    if manifest.split != artifact.manifest.split:
        return None
    if manifest.recipe.data != artifact.manifest.recipe.data:
        return None
    return Previous(digest, manifest.metrics)


def _write_report(artifact: Verified, store: Store, *, record: Record) -> None:
    """Write the report beside the artifact, unless this checkout wrote one of the same gates."""
    from artifact_pipeline.report import context

    judged_by = msgspec.convert(msgspec.to_builtins(record), PastRun)
    run = context.make(judged_by, judged_by, artifact=artifact, store=store)
    path = store.artifacts.report_path(artifact.digest)
    try:
        data = disk.read_file(path, limit=MAX_REPORT, remedy="it is written again")
    except StoreError:
        data = None  # it is replaced below
    is_ours = data is not None and local_state.wrote(local_state.REPORT, canonical.digest(data))
    if data is None or not is_ours or run.fingerprint().encode() not in data:
        with log.timed("write the report"):
            made_by = store.run_index.record_of(artifact.digest) if record.cached else None
            if made_by is not None:
                run = context.make(made_by, judged_by, artifact=artifact, store=store)
            publish_report(artifact, store, run=run)


def _infer(artifact: Verified, trained: Trained | None) -> str:
    """Predict the held-out rows with the artifact in the store, and return what to note."""
    rows = artifact.manifest.split.rows.test
    if trained is None:
        return f"{rows} held-out rows were predicted when it was sealed"
    from artifact_pipeline.builder.formats import base
    from artifact_pipeline.inference.predictor import load_predictor

    with log.timed("predict the held-out rows with the artifact"):
        outputs = load_predictor(artifact).run(trained.rows)
    differs = base.differ(outputs, trained.outputs, bound=artifact.manifest.parity.bound)
    same = rows - int(differs.sum())
    return f"{rows} held-out rows, {same} predicted as trained"


def _held_out(
    artifact: Verified, store: Store, *, path: Path | RemotePath | None
) -> HeldOutOutputs:
    """Predict the held-out rows with the artifact in the store, for a paired test."""
    from artifact_pipeline.inference.predictor import load_predictor
    from artifact_pipeline.pipeline.held_out_outputs import predict_held_out

    # Its origin is known only if this checkout made it, now or in an earlier run.
    predictor = load_predictor(check_integrity(artifact.folder, store=store.root))
    return predict_held_out(predictor, data=path, store=store.root)


def _run_tests(path: str) -> None:
    if importlib.util.find_spec("pytest") is None:
        raise MissingDependency(
            "pytest is not installed, so the tests cannot run",
            location=Location("--tests"),
            remedy="pip install pytest",
        )
    # pytest reads options even behind `--`, so a path must not look like one.
    place = f"./{path}" if path.startswith("-") else path
    command = [sys.executable, "-m", "pytest", "-q", place]
    code = subprocess.run(command, stdout=sys.stderr, check=False).returncode
    if code:
        problem = f"pytest ended with exit code {code}; nothing was trained"
        raise TestsFailed(problem, location=Location(path))


def _load_gates(text: str) -> dict[str, Gate]:
    from artifact_pipeline.builder.config.loader import load_gates

    return load_gates(text, "--gates")


def _table_path(plan: Plan) -> Path | RemotePath | None:
    data = plan.config.data
    if not isinstance(data, TableData):
        return None
    if remote_files.is_remote(data.path):
        return RemotePath(data.path)
    return Path(plan.base, data.path).absolute()


def _result(record: Record, store: Store, *, jobs: list[Job]) -> Run:
    assert record.artifact and record.recipe_digest and record.metrics
    assert record.name and record.version
    return Run(
        run=record.run,
        name=record.name,
        version=record.version,
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
        jobs=jobs,
    )
