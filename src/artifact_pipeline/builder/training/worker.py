"""The child's end of a trainer process: it responds to requests on its standard streams."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from queue import Queue
from typing import IO, TYPE_CHECKING

import msgspec

from artifact_pipeline import errors
from artifact_pipeline.builder import numeric_profile
from artifact_pipeline.builder.config.messages import sentence
from artifact_pipeline.builder.progress import PhaseProgress, ReportProgress
from artifact_pipeline.builder.training import protocol
from artifact_pipeline.builder.training.protocol import (
    REPORT_BUG,
    ExportedForm,
    Failure,
    Measure,
    Measured,
    Message,
    NextForm,
    Resolved,
    Start,
    Train,
    read_message,
    write_message,
)
from artifact_pipeline.errors import Location, PipelineError, TrainerDied

if TYPE_CHECKING:
    from artifact_pipeline.builder.training.train import Prepared, TrainedEstimator

_PR_SET_PDEATHSIG = 1
"""For prctl(2); from linux/prctl.h."""
_PROCESS = Location("trainer process")
_VERBOSE_ENV_VAR = "ARTIFACT_PIPELINE_VERBOSE"

_log = logging.getLogger("artifact_pipeline.builder.training.worker")


def main() -> None:
    """Handle the requests on standard input until the model is measured, or the parent ends."""
    # Ctrl-C reaches the complete process group; the parent decides what to do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent()
    requests: Queue[Message] = Queue()
    reader = threading.Thread(target=_receive_all, args=(os.dup(0), requests), daemon=True)
    reader.start()
    # Output of an estimator (verbose=1) must not mix with the messages.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY) if sys.stderr is None else 2, 1)
    assert isinstance(sys.stdout, io.TextIOWrapper)
    sys.stdout.reconfigure(line_buffering=True)
    if os.environ.get(_VERBOSE_ENV_VAR, "") not in ("", "0"):
        _log_to_standard_error()
    else:  # a fit records its warnings, and each prediction would repeat them
        warnings.simplefilter("ignore")
    try:
        try:
            _serve(requests, answers)
        except PipelineError as error:
            write_message(answers, _failure(error))
        except MemoryError as error:
            remedy = "take fewer rows, or a smaller model"
            problem = ": ".join(filter(None, ["is out of memory", sentence(str(error))]))
            died = TrainerDied(problem, location=_PROCESS, remedy=remedy)
            write_message(answers, _failure(died))
        except Exception as error:  # noqa: BLE001  (the parent reports it in one line)
            write_message(answers, _failure(_bug(error), cause=error))
    except BrokenPipeError:  # the parent was killed
        os._exit(1)


def _log_to_standard_error() -> None:
    handler = logging.StreamHandler(sys.stdout)  # which is standard error by now
    handler.setFormatter(logging.Formatter("            trainer: %(message)s"))
    _log.addHandler(handler)
    _log.setLevel(logging.DEBUG)


@contextmanager
def _timed(step: str) -> Iterator[None]:
    start = time.perf_counter()
    try:
        yield
    finally:
        _log.debug("%s: %.1f ms", step, (time.perf_counter() - start) * 1000)


def _die_with_parent() -> None:
    """On Linux, let the kernel end this process with the thread that started it.

    `_receive_all` does this on all systems, even if the parent died earlier. But it waits for
    compiled code that holds the interpreter's lock, which can take minutes in a fit.
    """
    if sys.platform == "linux":
        import ctypes

        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _receive_all(handle: int, requests: Queue[Message]) -> None:
    """Queue the parent's requests, and end the process when the parent closes the stream."""
    with os.fdopen(handle, "rb") as stream:
        while (message := read_message(stream)) is not None:
            requests.put(message)
    os._exit(1)


def _failure(error: PipelineError, *, cause: Exception | None = None) -> Failure:
    # The parent knows the classes of `errors`; a subclass of another module is sent as its parent.
    known = next(kind for kind in type(error).__mro__ if kind.__module__ == errors.__name__)
    return Failure(
        error=known.__name__,
        problem=error.problem,
        location=error.location,
        remedy=error.remedy,
        traceback="".join(traceback.format_exception(cause or error)),
    )


def _bug(error: Exception) -> TrainerDied:
    """Return the error to report for an unexpected one, with the line that raised it."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.line]
    ours = [frame for frame in frames if "artifact_pipeline" in Path(frame.filename).parts]
    place = f" in {Path(ours[-1].filename).name}, line {ours[-1].lineno}" if ours else ""
    text = (" ".join(str(error).split()))[:300]
    problem = f"failed with {type(error).__name__}: {text}{place}"
    return TrainerDied(problem, location=_PROCESS, remedy=REPORT_BUG)


def _serve(requests: Queue[Message], answers: IO[bytes]) -> None:
    from artifact_pipeline.builder.training import results, train

    report = partial(write_message, answers)
    start = msgspec.convert(requests.get().body, Start)
    with _timed("load and split the data, check the model"):
        prepared = _prepare(start, report)
    observed = numeric_profile.inspect_process()
    in_force = numeric_profile.in_force(start.profile, observed)
    resolved = Resolved(
        model=prepared.model,
        data=prepared.rows.description,
        profile=start.profile if in_force else numeric_profile.NATIVE,
        observed=observed,
    )
    write_message(answers, resolved)

    cluster = msgspec.convert(requests.get().body, Train).cluster
    report(PhaseProgress(phase="fit"))
    with _timed("fit the model"):
        trained = train.train(prepared, report, profile=start.profile, cluster=cluster)
    report(PhaseProgress(phase="measure"))
    for answer, blobs in _answers(trained):
        write_message(answers, answer, blobs=blobs)
        if not isinstance(answer, ExportedForm) or answer.form is None:
            continue
        message = requests.get()
        if isinstance(msgspec.convert(message.body, NextForm | Measure), Measure):
            sealed = protocol.outputs(message.blobs, "held_out")
            with _timed("measure the outputs of the open form"):
                metrics = results.measure_sealed(trained, sealed)
            warnings = results.metric_warnings(trained, metrics)
            write_message(answers, Measured(metrics=metrics, warnings=warnings))
            return


def _prepare(start: Start, report: ReportProgress) -> Prepared:
    from artifact_pipeline.builder.data import loader
    from artifact_pipeline.builder.model import construction
    from artifact_pipeline.builder.training import train

    config, name = start.config, start.name
    rows = loader.load(
        config.data,
        config.split,
        target=construction.target_type(config.model, Location(name, key="model")),
        extra_columns=train.slice_columns(config.evaluation),
        base=start.base,
        config=name,
        report=report,
    )
    model, rows = construction.resolve_for(
        config.model,
        rows,
        random_state=config.split.random_state,
        location=Location(name, key="model"),
    )
    return train.prepare(config, model, rows=rows, name=name)


def _answers(trained: TrainedEstimator) -> Iterator[tuple[msgspec.Struct, Mapping[str, bytes]]]:
    """Yield the result of a training and the open forms of its estimator, with their blobs."""
    from artifact_pipeline.builder.formats import parity, pickle_format
    from artifact_pipeline.builder.model import fit
    from artifact_pipeline.builder.training import results

    estimator = trained.fitted.estimator
    with (
        _timed("measure the estimator and make edge cases"),
        fit.estimator_errors("predict", Location(trained.prepared.name, key="model")),
    ):
        measurement = results.measure_estimator(trained)
    held_out, edges = measurement.held_out, measurement.edges
    yield (
        measurement.result,
        {
            "pickle": pickle_format.dump(estimator),
            **protocol.pack("held_out", held_out.rows, outputs=held_out.outputs),
            **protocol.pack("edges", edges.rows, outputs=edges.outputs),
        },
    )
    for candidate in parity.candidates(estimator, held_out.rows):
        files = {"model": candidate.data, "scored": candidate.scored}
        exported = ExportedForm(
            form=candidate.form.name, dtype=candidate.form.dtype, reason=candidate.reason
        )
        _log.debug("exported %s", exported.form)
        yield exported, {name: data for name, data in files.items() if data is not None}
    yield ExportedForm(form=None), {}


if __name__ == "__main__":
    main()
