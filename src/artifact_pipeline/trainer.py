"""The process that trains, under the numeric profile: both ends of it.

    parent                                 child (`python -m artifact_pipeline.trainer`)
      {config, profile}          ──►
                                 ◄──       {model in full form, profile in force, observed}
      {recipe}                   ──►         loads, splits, fits, measures, exports
                                 ◄──       {metrics, evaluation, …} and the arrays
                                 ◄──       an open form of the model
      {more: true}               ──►       … the next one, while the last was not proven

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
from collections.abc import Iterator, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any, NamedTuple, TypeAlias

import msgspec

from artifact_pipeline import config, errors, numerics
from artifact_pipeline.errors import PipelineError, TrainerDied

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from artifact_pipeline.artifact.formats.form import Form, Outputs
    from artifact_pipeline.data import Parts, Rows
    from artifact_pipeline.training import Fitted

Message: TypeAlias = "tuple[dict[str, Any], dict[str, bytes]]"
"""What is said, and the blobs that go with it."""


class Resolved(NamedTuple):
    """What the trainer makes of a config."""

    model: config.Model
    """In full form; see `estimators.resolve`."""
    profile: str
    """The numeric profile that is in force, which may be less than the one asked for."""
    observed: dict[str, Any]
    """BLAS, CPU features and threads of the process."""


class Trained(NamedTuple):
    """What a training gave."""

    said: dict[str, Any]
    """`metrics`, `split`, `evaluation`, `warnings`, and what the interface says of the data:
    `features`, `labels`, `label_names`, `image`."""
    pickle: bytes
    X_test: NDArray[np.float64]
    outputs: Outputs
    """What the estimator says of the held-out rows."""


class Trainer:
    """The parent's end: a process that has checked a config and is ready to train it.

    `resolved` is what it made of the config. Close it, or use it in a `with`.

    Raises:
        ConfigError: if an estimator refuses the config.
        DataError: if the rows are wrong.
        TrainerDied: if the process ended.
    """

    def __init__(self, full: config.Config, where: str, profile: str) -> None:
        environment = {**os.environ, "PYTHONPATH": numerics.import_path()}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "artifact_pipeline.trainer"],
            env=numerics.environment(profile, environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._send({"config": config.full_form(full), "where": where, "profile": profile})
        try:
            self.resolved = self._resolve()
        except BaseException:  # raised again, with no process left behind
            self.close()
            raise

    def __enter__(self) -> Trainer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _resolve(self) -> Resolved:
        said, _ = self._receive()
        return Resolved(
            msgspec.convert(said["model"], config.Model), said["profile"], said["observed"]
        )

    def train(self) -> Trained:
        """Fit the model and measure it. Raises as `Trainer` itself."""
        self._send({"train": True})
        # Loaded here, it costs nothing: this process would only wait.
        import numpy as np

        from artifact_pipeline.artifact.formats.form import Outputs
        from artifact_pipeline.artifact.formats.onnx import runtime

        runtime()
        said, blobs = self._receive()

        def array(name: str) -> NDArray[Any]:
            found: NDArray[Any] = np.load(io.BytesIO(blobs[name]), allow_pickle=False)
            return found

        probabilities = array("probabilities") if "probabilities" in blobs else None
        outputs = Outputs(array("predicted"), probabilities)
        return Trained(said, blobs["pickle"], array("X_test"), outputs)

    def forms(self) -> Iterator[tuple[Form, bytes]]:
        """Yield the open forms of the trained model, best first, each exported when asked for."""
        from artifact_pipeline.artifact.formats.form import BY_NAME

        while True:
            said, blobs = self._receive()
            if said["form"] is None:
                return
            yield BY_NAME[said["form"]], blobs["model"]
            self._send({"more": True})

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.communicate()

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        # That it has ended shows, with a reason, when its answer is read.
        with suppress(BrokenPipeError):
            _write(self._process.stdin, message)

    def _receive(self) -> Message:
        assert self._process.stdout is not None
        message = _read(self._process.stdout)
        if message is None:
            code = self._process.wait()
            how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
            raise TrainerDied(
                f"ended {how} before it answered; was it killed, or out of memory?",
                where="trainer process",
            )
        if error := message[0].get("error"):
            kind: type[PipelineError] = getattr(errors, error["class"])
            raise kind(error["message"], where=error["where"])
        return message


def main() -> None:
    """Run the child's end on standard input and output."""
    # Ctrl-C reaches the whole process group; the parent decides what becomes of the work.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    inward = sys.stdin.buffer
    # What an estimator prints (verbose=1) must not run into the messages.
    outward = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    assert isinstance(sys.stdout, io.TextIOWrapper)
    sys.stdout.reconfigure(line_buffering=True)
    try:
        try:
            _serve(inward, outward)
        except PipelineError as error:
            told = {"class": type(error).__name__, "message": error.message, "where": error.where}
            _write(outward, {"error": told})
    except BrokenPipeError:  # the parent was killed: nobody is left to tell
        os._exit(1)


def _serve(inward: IO[bytes], outward: IO[bytes]) -> None:
    first = _read(inward)
    if first is None:
        return
    full = config.parse(first[0]["config"], first[0]["where"])

    from artifact_pipeline import data, estimators, training

    where = first[0]["where"]
    model = estimators.resolve(
        full.model, full.split.random_state, f"{where}: model", data.target(full.data)
    )
    rows = data.load(full.data)
    parts = data.split(rows, full.split, f"{where}: split")
    seen = numerics.seen()
    profile = first[0]["profile"]
    in_force = profile if numerics.in_force(profile, seen) else numerics.NATIVE
    _write(outward, {"model": msgspec.to_builtins(model), "profile": in_force, "observed": seen})

    if _read(inward) is None:
        return
    fitted = training.fit(
        estimators.build(model),
        parts.X_train,
        parts.y_train,
        estimators.jobs(full.model),
        f"{where}: model",
    )
    for message, blobs in _results(fitted, rows, parts, f"{where}: model"):
        _write(outward, message, blobs)
        if "form" in message and _read(inward) is None:
            return


def _results(fitted: Fitted, rows: Rows, parts: Parts, where: str) -> Iterator[Message]:
    from artifact_pipeline import training
    from artifact_pipeline.artifact.formats import onnx, pickle, skops

    estimator = fitted.estimator
    with training.asking("predict with it", where):
        said, arrays = _measure(fitted, rows, parts)
    blobs = {name: _npy(array) for name, array in arrays.items()}
    yield said, {**blobs, "pickle": pickle.dump(estimator)}
    for form, graph in onnx.export(estimator, parts.X_train.shape[1]):
        yield {"form": form.name}, {"model": graph}
    for form, archive in skops.export(estimator):
        yield {"form": form.name}, {"model": archive}
    yield {"form": None}, {}


def _measure(
    fitted: Fitted, rows: Rows, parts: Parts
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return what is said of a fitted estimator (see `Trained`), and its outputs on X_test."""
    from artifact_pipeline.evaluation import evaluate
    from artifact_pipeline.observation import observe

    estimator = fitted.estimator
    arrays = {"X_test": parts.X_test, "predicted": estimator.predict(parts.X_test)}
    if hasattr(estimator, "predict_proba"):
        arrays["probabilities"] = estimator.predict_proba(parts.X_test)
    seen = observe(
        estimator, parts.X_test, parts.y_test, parts.test_index, rows.label_names, rows.target
    )
    trained_on = estimator.predict(parts.X_train)
    said = {
        "metrics": {
            "train": evaluate(parts.y_train, trained_on, rows.target),
            "test": evaluate(parts.y_test, arrays["predicted"], rows.target),
        },
        "split": parts.summary(),
        "evaluation": msgspec.to_builtins(seen),
        "warnings": list(fitted.warnings),
        "features": rows.feature_names,
        "labels": estimator.classes_.tolist() if rows.target == "class" else [],
        "label_names": rows.label_names,
        "image": msgspec.to_builtins(rows.image),
    }
    return said, arrays


def _npy(array: Any) -> bytes:
    import numpy as np

    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


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
