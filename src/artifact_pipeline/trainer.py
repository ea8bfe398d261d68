"""The process that trains, under the numeric profile: both ends of it.

    parent                                 child (`python -m artifact_pipeline.trainer`)
      {config, profile}          ──►         loads, checks, splits
                                 ◄──       {model in full form, data, profile in force, observed}
      {train: true}              ──►         fits, measures, exports
                                 ◄──       {evaluation, edge cases, …} and the arrays
                                 ◄──       an open form of the model
      {more: true}               ──►       … the next one, while the last was not proven
      {measure: true}            ──►       what the proven form says of the held-out rows
                                 ◄──       {metrics}

When the parent ends, however it ends, the child ends too.

A message is a line of JSON that names its blobs and their sizes, then their bytes; arrays are
.npy, so nothing is unpickled. While the child trains, the parent loads onnxruntime.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from queue import Queue
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any, NamedTuple, TypeAlias

import msgspec

from artifact_pipeline import config, errors, numerics, wire
from artifact_pipeline.artifact.manifest import Metrics
from artifact_pipeline.data import Description
from artifact_pipeline.errors import PipelineError, TrainerDied
from artifact_pipeline.settings import Config, Model

if TYPE_CHECKING:
    from artifact_pipeline.artifact.formats.form import Batch, Outputs
    from artifact_pipeline.artifact.formats.parity import Candidate, Edges
    from artifact_pipeline.learning import Learned

_PR_SET_PDEATHSIG = 1
"""Of prctl(2), in linux/prctl.h."""
_BUG = "this is a bug; please report it with the config"

Message: TypeAlias = "tuple[dict[str, Any], dict[str, bytes]]"
"""What is said, and the blobs that go with it."""


class Resolved(NamedTuple):
    """What the trainer makes of a config."""

    model: Model
    """In full form; see `assembly.resolve`."""
    data: Description
    """What the rows are that it holds."""
    profile: str
    """The numeric profile that is in force, which may be less than the one asked for."""
    observed: dict[str, Any]
    """BLAS, CPU features and threads of the process."""


class Trained(NamedTuple):
    """What a training gave."""

    said: dict[str, Any]
    """See `measuring.measure`."""
    pickle: bytes
    rows: Batch
    outputs: Outputs
    """What the estimator says of the held-out rows."""
    edges: Edges
    """Rows that were made for the proof, and what the estimator says of them."""


class Trainer:
    """The parent's end: a process that has checked a config and is ready to train it.

    `base` is what paths in the config are relative to. `resolved` is what it made of the config.
    Close it, or use it in a `with`.

    Raises:
        ConfigError: if an estimator refuses the config.
        DataError: if the rows are wrong.
        TrainerDied: if the process ended.
    """

    def __init__(self, full: Config, where: str, profile: str, base: str) -> None:
        environment = {**os.environ, "PYTHONPATH": numerics.import_path()}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "artifact_pipeline.trainer"],
            env=numerics.environment(profile, environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._send(
            {"config": config.full_form(full), "where": where, "profile": profile, "base": base}
        )
        try:
            said, _ = self._receive()
            self.resolved = Resolved(
                msgspec.convert(said["model"], Model),
                msgspec.convert(said["data"], Description),
                said["profile"],
                said["observed"],
            )
        except BaseException:  # raised again, with no process left behind
            self.close()
            raise

    def __enter__(self) -> Trainer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def train(self) -> Trained:
        """Fit the model and measure it. Raises as `Trainer` itself."""
        self._send({"train": True})
        # Loaded here, it costs nothing: this process would only wait.
        from artifact_pipeline.artifact.formats.onnx import runtime

        runtime()
        said, blobs = self._receive()
        return Trained(
            said,
            blobs["pickle"],
            wire.batch(blobs, "held_out"),
            wire.outputs(blobs, "held_out"),
            _edges(said["edge_cases"], blobs),
        )

    def forms(self) -> Iterator[Candidate]:
        """Yield the open forms of the trained model, best first, each exported when asked for."""
        from artifact_pipeline.artifact.formats.form import BY_NAME
        from artifact_pipeline.artifact.formats.parity import Candidate

        while True:
            said, blobs = self._receive()
            if said["form"] is None:
                return
            form = BY_NAME[said["form"]]._replace(dtype=said["dtype"])
            yield Candidate(form, blobs.get("model"), said["reason"])
            self._send({"more": True})

    def measure(self, sealed: Outputs) -> tuple[Metrics, list[str]]:
        """Return metrics of a model whose proven form gave `sealed` on the held-out rows, and
        warnings about them."""
        self._send({"measure": True}, wire.output_blobs("held_out", sealed))
        said, _ = self._receive()
        return msgspec.convert(said["metrics"], Metrics), said["warnings"]

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.communicate()

    def _send(
        self, message: dict[str, Any], blobs: Mapping[str, bytes] = MappingProxyType({})
    ) -> None:
        assert self._process.stdin is not None
        # That it has ended shows, with a reason, when its answer is read.
        with suppress(BrokenPipeError):
            _write(self._process.stdin, message, blobs)

    def _receive(self) -> Message:
        assert self._process.stdout is not None
        message = _read(self._process.stdout)
        if message is None:
            code = self._process.wait()
            if code < 0:
                said = f"by signal {-code} before it answered; was it killed, or out of memory?"
            else:
                said = f"with exit code {code} before it answered; {_BUG}"
            raise TrainerDied(f"ended {said}", where="trainer process")
        if error := message[0].get("error"):
            kind: type[PipelineError] = getattr(errors, error["class"])
            raise kind(error["message"], where=error["where"])
        return message


def _edges(said: dict[str, Any], blobs: Mapping[str, bytes]) -> Edges:
    from artifact_pipeline.artifact.formats.parity import Edges
    from artifact_pipeline.edge_cases import Column, Flaw

    return Edges(
        rows=wire.batch(blobs, "edges"),
        outputs=wire.outputs(blobs, "edges"),
        kinds=said["kinds"],
        flaws=[[Flaw(*flaw) for flaw in flaws] for flaws in said["flaws"]],
        columns=[Column(*column) for column in said["columns"]],
        refused=[Flaw(*flaw) for flaw in said["refused"]],
        made=said["made"],
        lowercase=said["lowercase"],
    )


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
            _write(outward, _told(type(error), error.message, error.where))
        except MemoryError:
            said = "is out of memory; take fewer rows, or a smaller model"
            _write(outward, _told(TrainerDied, said, "trainer process"))
        except Exception as error:  # noqa: BLE001  (what the parent says in its one line)
            _write(outward, _told(TrainerDied, _bug(error), "trainer process"))
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
        while (message := _read(inward)) is not None:
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
    return f"failed with {type(error).__name__}: {said}{place}; {_BUG}"


def _serve(messages: Queue[Message], outward: IO[bytes]) -> None:
    first = messages.get()
    where, base = first[0]["where"], first[0]["base"]
    full = config.parse(first[0]["config"], where)

    from artifact_pipeline import assembly, learning, loading

    rows = loading.load(
        full.data,
        full.split,
        assembly.predicts(full.model, f"{where}: model"),
        learning.columns_of(full.evaluation),
        base,
        where,
    )
    model = assembly.resolve(
        full.model,
        full.split.random_state,
        f"{where}: model",
        rows.target,
        rows.columns(),
        rows.labels(),
    )
    prepared = learning.prepare(full, model, rows, where)
    seen = numerics.seen()
    profile = first[0]["profile"]
    in_force = profile if numerics.in_force(profile, seen) else numerics.NATIVE
    answer = {
        "model": msgspec.to_builtins(model),
        "data": msgspec.to_builtins(rows.description),
        "profile": in_force,
        "observed": seen,
    }
    _write(outward, answer)

    messages.get()
    learned = learning.learn(prepared)
    for message, blobs in _results(learned, where):
        _write(outward, message, blobs)
        if message.get("form") is None:
            continue
        said, given = messages.get()
        if "measure" in said:
            from artifact_pipeline import measuring

            metrics = measuring.metrics(learned, wire.outputs(given, "held_out"))
            warnings = measuring.doubts(learned, metrics)
            _write(outward, {"metrics": msgspec.to_builtins(metrics), "warnings": warnings})
            return


def _results(learned: Learned, where: str) -> Iterator[Message]:
    from artifact_pipeline import measuring, training
    from artifact_pipeline.artifact.formats import parity, pickle

    estimator = learned.fitted.estimator
    with training.asking("predict with it", f"{where}: model"):
        said, batches = measuring.measure(learned)
    blobs = {"pickle": pickle.dump(estimator)}
    for name, (batch, outputs) in batches.items():
        blobs |= wire.blobs(name, batch, outputs)
    yield said, blobs
    for form, data, reason in parity.candidates(estimator, batches["held_out"][0]):
        message = {"form": form.name, "dtype": form.dtype, "reason": reason}
        yield message, {} if data is None else {"model": data}
    yield {"form": None}, {}


def _write(
    stream: IO[bytes], message: dict[str, Any], blobs: Mapping[str, bytes] = MappingProxyType({})
) -> None:
    head = {"message": message, "blobs": [[name, len(data)] for name, data in blobs.items()]}
    stream.write(json.dumps(head).encode() + b"\n")
    for data in blobs.values():
        stream.write(data)
    stream.flush()


def _read(stream: IO[bytes]) -> Message | None:
    """Return the next message, or None where the other end is gone."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        return None
    head = json.loads(line)
    blobs = {name: stream.read(size) for name, size in head["blobs"]}
    if any(len(blobs[name]) < size for name, size in head["blobs"]):
        return None
    return head["message"], blobs


if __name__ == "__main__":
    main()
