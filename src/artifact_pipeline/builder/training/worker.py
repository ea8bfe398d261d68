"""The trainer process's own end: it answers one request after the other on its standard streams."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from queue import Queue
from typing import IO, TYPE_CHECKING, Any

import msgspec

from artifact_pipeline import errors
from artifact_pipeline.builder import numeric_profile
from artifact_pipeline.builder.config.resolved import ResolvedConfig
from artifact_pipeline.builder.training import protocol
from artifact_pipeline.builder.training.protocol import (
    REPORT_BUG,
    Message,
    read_message,
    write_message,
)
from artifact_pipeline.errors import PipelineError, TrainerDied

if TYPE_CHECKING:
    from artifact_pipeline.builder.training.train import Learned

_PR_SET_PDEATHSIG = 1
"""Of prctl(2), in linux/prctl.h."""


def main() -> None:
    """Run the child's end on standard input and output."""
    # Ctrl-C reaches the whole process group; the parent decides what becomes of the work.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent()
    messages: Queue[Message] = Queue()
    reader = threading.Thread(target=_receive_all, args=(os.dup(0), messages), daemon=True)
    reader.start()
    # What an estimator prints (verbose=1) must not run into the messages.
    outward = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY) if sys.stderr is None else 2, 1)
    assert isinstance(sys.stdout, io.TextIOWrapper)
    sys.stdout.reconfigure(line_buffering=True)
    try:
        try:
            _serve(messages, outward)
        except PipelineError as error:
            write_message(outward, _told(type(error), error.message, error.where))
        except MemoryError:
            said = "is out of memory; take fewer rows, or a smaller model"
            write_message(outward, _told(TrainerDied, said, "trainer process"))
        except Exception as error:  # noqa: BLE001  (what the parent says in its one line)
            write_message(outward, _told(TrainerDied, _bug(error), "trainer process"))
    except BrokenPipeError:  # the parent was killed: nobody is left to tell
        os._exit(1)


def _die_with_parent() -> None:
    """Let the kernel end this process with the thread that started it, where it can: on Linux.

    `_receive_all` does it everywhere, and for a parent that died before; but it waits for compiled
    code that keeps the interpreter's lock, and a fit can do that for minutes.
    """
    if sys.platform == "linux":
        import ctypes

        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _receive_all(handle: int, messages: Queue[Message]) -> None:
    """Queue what the parent sends; end the process, whatever it does, when the parent is gone."""
    with os.fdopen(handle, "rb") as inward:
        while (message := read_message(inward)) is not None:
            messages.put(message)
    os._exit(1)


def _told(kind: type[PipelineError], message: str, where: str | None) -> dict[str, Any]:
    # A module may have a kind of its own, which its parent in `errors` stands for elsewhere.
    known = next(one for one in kind.__mro__ if one.__module__ == errors.__name__)
    return {"error": {"class": known.__name__, "message": message, "where": where}}


def _bug(error: Exception) -> str:
    """Return what is said of an error that nobody foresaw, with the place that raised it."""
    import traceback

    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.line]
    ours = [frame for frame in frames if "artifact_pipeline" in Path(frame.filename).parts]
    place = f" in {Path(ours[-1].filename).name}, line {ours[-1].lineno}" if ours else ""
    said = (" ".join(str(error).split()))[:300]
    return f"failed with {type(error).__name__}: {said}{place}; {REPORT_BUG}"


def _serve(messages: Queue[Message], outward: IO[bytes]) -> None:
    first = messages.get()
    where, base = first[0]["where"], first[0]["base"]
    full = msgspec.convert(first[0]["config"], ResolvedConfig)

    from artifact_pipeline.builder.data import loader as loading
    from artifact_pipeline.builder.model import construction
    from artifact_pipeline.builder.training import train

    rows = loading.load(
        full.data,
        full.split,
        construction.target_type(full.model, f"{where}: model"),
        train.columns_of(full.evaluation),
        base,
        where,
    )
    model = construction.resolve(
        full.model,
        full.split.random_state,
        f"{where}: model",
        rows.target,
        rows.columns(),
        rows.labels(),
    )
    prepared = train.prepare(full, model, rows, where)
    seen = numeric_profile.inspect_process()
    profile = first[0]["profile"]
    in_force = profile if numeric_profile.in_force(profile, seen) else numeric_profile.NATIVE
    answer = {
        "model": msgspec.to_builtins(model),
        "data": msgspec.to_builtins(rows.description),
        "profile": in_force,
        "observed": seen,
    }
    write_message(outward, answer)

    messages.get()
    learned = train.learn(prepared)
    for message, blobs in _results(learned, where):
        write_message(outward, message, blobs)
        if message.get("form") is None:
            continue
        said, given = messages.get()
        if "measure" in said:
            from artifact_pipeline.builder.training import results

            metrics = results.metrics(learned, protocol.outputs(given, "held_out"))
            warnings = results.doubts(learned, metrics)
            write_message(outward, {"metrics": msgspec.to_builtins(metrics), "warnings": warnings})
            return


def _results(learned: Learned, where: str) -> Iterator[Message]:
    from artifact_pipeline.builder.formats import parity, pickle_format
    from artifact_pipeline.builder.model import fit
    from artifact_pipeline.builder.training import results

    estimator = learned.fitted.estimator
    with fit.estimator_errors("predict with it", f"{where}: model"):
        said, batches = results.measure(learned)
    blobs = {"pickle": pickle_format.dump(estimator)}
    for name, (batch, outputs) in batches.items():
        blobs |= protocol.pack(name, batch, outputs)
    yield said, blobs
    for candidate in parity.candidates(estimator, batches["held_out"][0]):
        form, parts = candidate.form, {"model": candidate.data, "scored": candidate.scored}
        message = {"form": form.name, "dtype": form.dtype, "reason": candidate.reason}
        yield message, {name: data for name, data in parts.items() if data is not None}
    yield {"form": None}, {}


if __name__ == "__main__":
    main()
