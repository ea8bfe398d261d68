"""Predictions for files of any size: one output, or a folder with one for each file of rows."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal, TypeAlias

from msgspec import Struct, structs

from artifact_pipeline.builder import dask_cluster
from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.builder.dask_cluster import Cluster
from artifact_pipeline.builder.data import remote_files
from artifact_pipeline.builder.formats import onnx_format
from artifact_pipeline.builder.progress import ReportProgress, ignore
from artifact_pipeline.disk import (
    check_folder_of,
    kind_of,
    remove,
    translate_os_errors,
)
from artifact_pipeline.errors import CallError, Location, StoreError
from artifact_pipeline.inference import file_progress, prediction_files, row_files, row_paths
from artifact_pipeline.inference.part_output import (
    REMOTE_REPORTS,
    REPORTS,
    PartResult,
    predict_part,
    publish,
)
from artifact_pipeline.inference.predicted_batches import predict_batches
from artifact_pipeline.inference.prediction_files import TEXT_FORMATS
from artifact_pipeline.inference.predictor import Predictor, load_predictor
from artifact_pipeline.inference.resumable_output import locked, predict_file
from artifact_pipeline.inference.row_layout import Layout
from artifact_pipeline.inference.row_paths import RowPath
from artifact_pipeline.inference.tally import OnError, Options, Tally
from artifact_pipeline.store.access import open_trusted
from artifact_pipeline.store.references import ArtifactLike, PathLike

if TYPE_CHECKING:
    from artifact_pipeline.verification.signatures import Signer
    from artifact_pipeline.verification.verify import Verified

Engine: TypeAlias = Literal["local", "dask"]


class FilePredictions(Struct, frozen=True, kw_only=True):
    """The result of `infer_files`.

    Attributes:
        digest: The artifact.
        output: The file or folder with the predictions.
        parts: The number of files in that folder; 1 for a file.
        tally: The counts over all rows.
        restarted: Whether the output was written from the start despite `resume`.
    """

    digest: Digest
    output: str
    parts: int
    tally: Tally
    restarted: bool = False


def infer_files(
    artifact: ArtifactLike,
    rows: PathLike,
    *,
    output: PathLike,
    keep: Sequence[str] = (),
    on_error: OnError = "fail",
    resume: bool = False,
    engine: Engine = "local",
    scheduler: str | None = None,
    digest: Digest | None = None,
    signed_by: Signer | None = None,
    store: PathLike | None = None,
    report: ReportProgress = ignore,
) -> FilePredictions:
    """Predict the rows in files of any size, in batches of a fixed number of rows.

    Args:
        artifact: As for `open_artifact`.
        rows: A file, a folder of parts, a pattern such as `parts/*.csv`, or `-` for standard
            input: CSV, Parquet, JSON lines or Arrow IPC.
        output: A file, whose extension is its format; a folder, for one file of predictions for
            each of several files of rows, in their format; or `-` for standard output.
        keep: Columns of the rows to carry over.
        on_error: `skip` leaves out rows that cannot be read or that the model does not take.
        resume: Continue the same output after it was interrupted.
        engine: `dask` predicts the parts of a folder on a Dask cluster, with the same bytes.
        scheduler: The address of the Dask scheduler; by default a cluster starts on this machine.
        digest: As for `open_artifact`.
        signed_by: As for `open_artifact`.
        store: As for `open_artifact`.
        report: Called after each batch, or for a folder as output after each part.

    Raises:
        ArtifactNotFound, CallError, VerificationError, StoreError: As `open_artifact`.
        MissingDependency, NetworkError, EnvironmentFailure: If the cluster fails.
        CallError: If `rows` or `output` cannot be used.
        DataError: For rows that the model does not take; no output is written then.
        StoreError: If the output cannot be written.
    """
    cluster = dask_cluster.cluster_of(engine, scheduler)
    options = Options(keep=tuple(keep), on_error=on_error, resume=resume)
    source = row_paths.locate(str(rows))
    target = str(output)
    is_file = Path(target).suffix.lower() in prediction_files.OUTPUT_FORMATS
    if cluster is not None and (is_file or target == "-" or not source.is_many):
        raise CallError(
            "predicts a folder of parts into a folder",
            location=Location("--engine dask"),
            remedy="name a folder of rows and a folder for --output",
        )
    is_folder = _is_folder(target, source, resume=resume)
    if cluster is None:
        onnx_format.preload()
    verified = open_trusted(artifact, digest, signed_by=signed_by, store=store)
    layout = Layout.of(verified.manifest, options.keep)
    if cluster is not None:  # the workers open the model
        _check_parts(source.files, layout)
        predict = _on_dask(verified, cluster, options=options)
        tally = _predict_folder(predict, source, options=options, folder=target, report=report)
        return FilePredictions(
            digest=verified.digest, output=target, parts=len(source.files), tally=tally
        )
    predictor = load_predictor(verified)
    if source.is_many:
        _check_parts(source.files, layout)
    restarted = False
    if is_folder:
        predict = _here(predictor, options)
        tally = _predict_folder(predict, source, options=options, folder=target, report=report)
    elif remote_files.is_remote(target):
        restarted = resume
        with TemporaryDirectory() as folder:
            local = Path(folder) / PurePosixPath(target).name
            tally = predict_file(
                predictor,
                source.files,
                output=local,
                options=structs.replace(options, resume=False),
                report=report,
            )
            remote_files.upload(local, target)
    elif target == "-":
        tally = _predict_to_stdout(predictor, source, options=options, report=report)
    else:
        restarted = resume and prediction_files.format_of(target) not in TEXT_FORMATS
        tally = predict_file(
            predictor, source.files, output=Path(target), options=options, report=report
        )
    return FilePredictions(
        digest=predictor.digest,
        output=target,
        parts=len(source.files) if is_folder else 1,
        tally=tally,
        restarted=restarted,
    )


def _is_folder(target: str, source: row_paths.RowPaths, *, resume: bool) -> bool:
    """Return whether the output is a folder of parts, after checking that it can be written."""
    if target == "-":
        return False
    path = Path(target)
    has_format = path.suffix.lower() in prediction_files.OUTPUT_FORMATS
    is_folder = source.is_many and not has_format
    if not is_folder:
        prediction_files.format_of(target)
    _check_apart(target, source)
    if is_folder:
        row_paths.check_distinct(source.files, target)
    if remote_files.is_remote(target):
        remote_files.check_bucket(target)
        if is_folder and not resume and remote_files.find(target.rstrip("/")):
            raise _other_folder("is not an empty folder", target)
        return is_folder
    if is_folder:
        with translate_os_errors(path):
            # The complete folder could not replace a link.
            if path.is_symlink() or (path.exists() and not path.is_dir()):
                raise _other_folder("is not a folder", target)
            if path.is_mount() or (path.is_dir() and path.samefile(Path.cwd())):
                raise CallError(
                    "is a mount point or the working folder, which no other folder can replace",
                    location=Location(target),
                    remedy="name a folder in it",
                )
            parts = {file.part for file in source.files}
            if path.is_dir() and any(path.iterdir()) and not (resume and _files_in(path) == parts):
                raise _other_folder("is not an empty folder", target)
    elif path.is_dir():
        raise StoreError(
            "is a folder, expected a file", location=Location(target), remedy="name a file in it"
        )
    elif path.exists() and not path.is_file():  # a file would replace it
        raise StoreError(f"is {kind_of(path)}, expected a file", location=Location(target))
    with translate_os_errors(path):
        check_folder_of(path)
    return is_folder


def _other_folder(problem: str, target: str) -> CallError:
    return CallError(problem, location=Location(target), remedy="name a folder that does not exist")


def _files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def _check_apart(target: str, source: row_paths.RowPaths) -> None:
    """Check that the output is not an input, nor inside the folder of the inputs."""
    is_input = any(_is_same(target, file.path) for file in source.files if file.path != "-")
    if is_input:
        raise CallError(
            "is the input, and would be overwritten",
            location=Location(target),
            remedy="name another file with --output",
        )
    if source.folder is None:
        return
    inner, outer = PurePosixPath(target), PurePosixPath(source.folder)
    if not remote_files.is_remote(target):
        inner = PurePosixPath(Path(target).resolve().as_posix())
        outer = PurePosixPath(Path(source.folder).resolve().as_posix())
    if inner == outer or outer in inner.parents:
        where = "is" if inner == outer else "is in"
        raise CallError(
            f"{where} the folder of rows, and would be read as rows the next time",
            location=Location(target),
            remedy="name another place with --output",
        )


def _is_same(target: str, path: str) -> bool:
    if remote_files.is_remote(target) or remote_files.is_remote(path):
        return target == path
    with suppress(OSError, ValueError):  # one of the two does not exist
        return Path(target).samefile(path)
    return False


def _check_parts(files: Sequence[RowPath], layout: Layout) -> None:
    """Check that each file has the columns that the model takes, before any is predicted."""
    for file in files:
        with file.open() as stream, row_files.opened(stream, file.name, layout=layout):
            pass


def _predict_to_stdout(
    predictor: Predictor, source: row_paths.RowPaths, *, options: Options, report: ReportProgress
) -> Tally:
    """Write predictions to standard output, in the format of the rows."""
    if options.resume:
        raise CallError(
            "standard output cannot be continued",
            location=Location("--resume"),
            remedy="name a file with --output",
        )
    tally = Tally()
    with ExitStack() as stack:
        writer: prediction_files.Writer | None = None
        for step in predict_batches(
            predictor, source.files, output_format=None, options=options, report=report
        ):
            tally += step.tally
            if not len(step.rows):  # without any, nothing is written
                continue
            if writer is None:
                opened = prediction_files.writer(sys.stdout.buffer, step.table)
                writer = stack.enter_context(opened)
            writer.write(step.rows)
    tally.check_any(source.files[0].name)
    return tally


PredictParts: TypeAlias = "Callable[[Sequence[RowPath], str], Iterator[PartResult]]"
"""Predicts files into a folder, and yields the result for each."""


def _predict_folder(
    predict: PredictParts,
    source: row_paths.RowPaths,
    *,
    options: Options,
    folder: str,
    report: ReportProgress,
) -> Tally:
    """Write a file of predictions for each file of rows into a folder.

    A local folder has another name until all of its files are complete. In an object store each
    file appears when it is complete, and the folder with reports is removed when all are.
    """
    if remote_files.is_remote(folder):
        folder = folder.rstrip("/")
        tally = _total(predict(source.files, folder), len(source.files), report=report)
        tally.check_any(source.files[0].name)
        remote_files.delete_folder(f"{folder}/{REMOTE_REPORTS}")
        return tally
    output = Path(folder).absolute()
    stage = output.parent / f".{output.name}.partial"
    with translate_os_errors(output):
        if not options.resume:
            remove(stage)
        (stage / REPORTS).mkdir(parents=True, exist_ok=True)
        with locked(stage / ".lock", output), _named_without(stage, output):
            tally = _total(predict(source.files, str(stage)), len(source.files), report=report)
            tally.check_any(source.files[0].name)
            publish(stage, output, parts=[file.part for file in source.files])
    return tally


@contextmanager
def _named_without(stage: Path, folder: Path) -> Iterator[None]:
    """Replace the paths of staged files in errors by those of the final folder."""
    try:
        yield
    except StoreError as error:
        file = "" if error.location is None else error.location.file or ""
        if not file.startswith(str(stage)):
            raise
        location = Location(str(folder) + file.removeprefix(str(stage)))
        raise StoreError(error.problem, location=location, remedy=error.remedy) from error


def _total(results: Iterator[PartResult], parts: int, *, report: ReportProgress) -> Tally:
    total, resumed = Tally(), 0
    file_progress.report_part(report, 0, total=parts, rows=0, resumed=0)
    for done, result in enumerate(results, 1):
        total += result.tally
        resumed += result.is_resumed
        file_progress.report_part(report, done, total=parts, rows=total.rows, resumed=resumed)
    return total


def _here(predictor: Predictor, options: Options) -> PredictParts:
    """Return the function that predicts files in this process."""
    return lambda files, folder: (
        predict_part(predictor, file, folder=folder, options=options) for file in files
    )


def _on_dask(verified: Verified, cluster: Cluster, *, options: Options) -> PredictParts:
    """Return the function that predicts files on a Dask cluster."""
    from artifact_pipeline.inference.cluster import PartTask, package_versions, predict_parts

    def predict(files: Sequence[RowPath], folder: str) -> Iterator[PartResult]:
        tasks = [
            PartTask(
                artifact=str(verified.folder.absolute()),
                digest=verified.digest,
                file=file.absolute(),
                folder=folder,
                # The output of earlier runs is removed; that of a lost worker is continued.
                options=structs.replace(options, resume=True),
                packages=package_versions(),
            )
            for file in files
        ]
        return predict_parts(tasks, cluster)

    return predict
