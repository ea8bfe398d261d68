"""The metrics of all workers of a server: one shared file of float64 numbers, a row per worker.

Each worker writes only its own row, and a scrape adds all rows. A worker that restarts takes over
the row of the one that died, so counters never fall.

Format: Prometheus' text exposition format, version 0.0.4.
"""

from __future__ import annotations

import mmap
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from artifact_pipeline.disk import file_lock
from artifact_pipeline.errors import Location, StoreError
from artifact_pipeline.serving.http.errors import KINDS

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Seconds; upper bounds of the latency histogram."""
MEDIA_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

# A row holds the requests in flight, and then these numbers for each model: a count for each
# status, the rows, the sum of seconds, a count for each bucket, whether an update is rejected, and
# whether the remote cannot be reached.
_STATUSES = (200, *KINDS)
_STATUS_INDEX = {status: index for index, status in enumerate(_STATUSES)}
_ROWS = len(_STATUSES)
_SECONDS = _ROWS + 1
_BUCKETS = _SECONDS + 1
_REJECTED = _BUCKETS + len(BUCKETS) + 1
_UNREACHABLE = _REJECTED + 1
_WIDTH = _UNREACHABLE + 1
_HELP = {
    "requests_total": ("counter", "Requests, by model and HTTP status."),
    "errors_total": ("counter", "Requests that got an error, by its kind."),
    "rows_total": ("counter", "Rows that were predicted."),
    "request_seconds": ("histogram", "Seconds from a request's headers to its response."),
    "in_flight": ("gauge", "Requests that have no response yet."),
    "model_info": ("gauge", "The artifact that is served under a name."),
    "model_refused": ("gauge", "Workers that keep an older artifact because the new one failed."),
    "remote_unreachable": ("gauge", "Workers that could not reach the remote."),
}


def create(folder: str, models: int, *, workers: int) -> None:
    """Create the file that the workers of a server share.

    Args:
        folder: The folder of the file.
        models: The number of models.
        workers: The number of workers.
    """
    size = 8 * _row_count(workers) * (1 + _WIDTH * (models + 1))
    (Path(folder) / "metrics").write_bytes(b"\0" * size)


def _row_count(workers: int) -> int:
    """Return the number of rows: a worker may start before the one that it replaces has ended."""
    return workers + 1


class ServerMetrics:
    """The row of one worker, which it holds until its process ends."""

    def __init__(self, folder: str, models: Sequence[str], *, workers: int) -> None:
        self._models = ("", *models)
        self._width = 1 + _WIDTH * len(self._models)
        with (Path(folder) / "metrics").open("r+b") as file:
            self._numbers = memoryview(mmap.mmap(file.fileno(), 0)).cast("d")
        self._locks = ExitStack()
        self._in_flight = self._width * self._lock_row(folder, workers)
        self._numbers[self._in_flight] = 0.0
        self._bases = {
            name: self._in_flight + 1 + _WIDTH * index for index, name in enumerate(self._models)
        }
        for base in self._bases.values():
            self._numbers[base + _REJECTED] = 0.0
            self._numbers[base + _UNREACHABLE] = 0.0

    def begin(self) -> None:
        """Count a request as in flight."""
        self._numbers[self._in_flight] += 1.0

    def end(self, model: str, status: int, *, seconds: float, rows: int) -> None:
        """Count the response to a request.

        Args:
            model: The model that the request addressed, empty if none.
            status: The status of the response, or `errors.GONE`.
            seconds: From the request's headers to the response.
            rows: Rows that were predicted.
        """
        numbers, base = self._numbers, self._bases[model]
        numbers[self._in_flight] -= 1.0
        numbers[base + _STATUS_INDEX[status]] += 1.0
        numbers[base + _ROWS] += rows
        numbers[base + _SECONDS] += seconds
        numbers[base + _BUCKETS + bisect_left(BUCKETS, seconds)] += 1.0

    def set_rejected(self, model: str, is_rejected: bool) -> None:
        """Record whether this worker keeps an older artifact under a name."""
        self._numbers[self._bases[model] + _REJECTED] = float(is_rejected)

    def set_unreachable(self, model: str, is_unreachable: bool) -> None:
        """Record whether this worker could not reach the remote of a model."""
        self._numbers[self._bases[model] + _UNREACHABLE] = float(is_unreachable)

    def text(self, digests: Mapping[str, str]) -> bytes:
        """Return the sums over all workers in Prometheus' format.

        Args:
            digests: The artifact that is served under each name.
        """
        width, numbers = self._width, self._numbers
        rows = [numbers[start : start + width] for start in range(0, len(numbers), width)]
        sums = [sum(column) for column in zip(*rows, strict=True)]
        samples: dict[str, list[str]] = {name: [] for name in _HELP}
        samples["in_flight"].append(f" {sums[0]:g}")
        for index, model in enumerate(self._models):
            values = sums[1 + _WIDTH * index : 1 + _WIDTH * (index + 1)]
            for name, lines in _samples(model, values).items():
                samples[name] += lines
            if model:
                info = f'{{model="{model}",digest="{digests[model]}"}} 1'
                samples["model_info"].append(info)
                samples["model_refused"].append(f'{{model="{model}"}} {values[_REJECTED]:g}')
                away = f'{{model="{model}"}} {values[_UNREACHABLE]:g}'
                samples["remote_unreachable"].append(away)
        text = []
        for name, (kind, description) in _HELP.items():
            full_name = f"artifact_pipeline_{name}"
            text += [f"# HELP {full_name} {description}", f"# TYPE {full_name} {kind}"]
            text += [full_name + sample for sample in samples[name]]
        return ("\n".join(text) + "\n").encode()

    def _lock_row(self, folder: str, workers: int) -> int:
        """Return the number of a row that no running worker holds, and hold it."""
        for number in range(_row_count(workers)):
            try:
                self._locks.enter_context(file_lock(Path(folder) / f"worker-{number}", "taken"))
            except StoreError:
                continue
            return number
        raise StoreError("each row of the metrics is taken", location=Location(folder))


def _samples(model: str, values: Sequence[float]) -> dict[str, list[str]]:
    """Return the samples of a model by metric, without the metric's name."""
    label = f'model="{model}"'
    requests, failures, seconds = [], [], []
    for status, index in _STATUS_INDEX.items():
        requests.append(f'{{{label},code="{status}"}} {values[index]:.0f}')
        if status in KINDS:
            failures.append(f'{{{label},kind="{KINDS[status]}"}} {values[index]:.0f}')
    total = 0.0
    for bound, count in zip((*BUCKETS, "+Inf"), values[_BUCKETS:_REJECTED], strict=True):
        total += count
        seconds.append(f'_bucket{{{label},le="{bound}"}} {total:.0f}')
    seconds.append(f"_sum{{{label}}} {values[_SECONDS]:g}")
    seconds.append(f"_count{{{label}}} {total:.0f}")
    return {
        "requests_total": requests,
        "errors_total": failures,
        "rows_total": [f"{{{label}}} {values[_ROWS]:.0f}"],
        "request_seconds": seconds,
    }
