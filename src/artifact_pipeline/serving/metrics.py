"""What the workers of a server count, together: one file of float64 numbers, a row for each.

Each worker writes to its own row alone and a scrape adds them up. A worker that comes back takes
over the row of the one that died, so no counter ever falls.

Format: Prometheus' text exposition format, version 0.0.4.
"""

from __future__ import annotations

import mmap
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from artifact_pipeline.disk import file_lock
from artifact_pipeline.errors import StoreError
from artifact_pipeline.serving.http.errors import KINDS

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Seconds; upper bounds of the latency histogram."""
MEDIA_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

_STATUSES = (200, *KINDS)
_PLACE = {status: index for index, status in enumerate(_STATUSES)}
_ROWS = len(_STATUSES)
_SUM = _ROWS + 1
_FIRST = _SUM + 1
_LATE = _FIRST + len(BUCKETS) + 1
_WIDTH = _LATE + 1
_HELP = {
    "requests_total": ("counter", "Requests, by model and HTTP status."),
    "errors_total": ("counter", "Requests that got an error, by its kind."),
    "rows_total": ("counter", "Rows that were predicted."),
    "request_seconds": ("histogram", "Seconds from a request's headers to its answer."),
    "in_flight": ("gauge", "Requests that are being answered."),
    "model_info": ("gauge", "Which artifact answers under a name."),
    "model_refused": ("gauge", "Workers that keep an older artifact: the new one is no good."),
}


def create(folder: str, models: int, workers: int) -> None:
    """Make the file that the workers of a server share."""
    size = 8 * _spare(workers) * (1 + _WIDTH * (models + 1))
    (Path(folder) / "metrics").write_bytes(b"\0" * size)


def _spare(workers: int) -> int:
    """Return how many rows there are: a worker may start before the one that it replaces ends."""
    return workers + 1


class ServerMetrics:
    """The row of one worker; closed with the process that holds it."""

    def __init__(self, folder: str, models: Sequence[str], workers: int) -> None:
        self._models = ("", *models)
        self._width = 1 + _WIDTH * len(self._models)
        with (Path(folder) / "metrics").open("r+b") as file:
            self._all = memoryview(mmap.mmap(file.fileno(), 0)).cast("d")
        self._held = ExitStack()
        self._begin = self._width * self._take(folder, workers)
        self._all[self._begin] = 0.0
        self._bases = {
            name: self._begin + 1 + _WIDTH * index for index, name in enumerate(self._models)
        }
        for base in self._bases.values():
            self._all[base + _LATE] = 0.0

    def begin(self) -> None:
        """Count a request that is being answered from now on."""
        self._all[self._begin] += 1.0

    def end(self, model: str, status: int, seconds: float, rows: int) -> None:
        """Count a request that was answered; `model` is empty where none was meant."""
        numbers, base = self._all, self._bases[model]
        numbers[self._begin] -= 1.0
        numbers[base + _PLACE[status]] += 1.0
        numbers[base + _ROWS] += rows
        numbers[base + _SUM] += seconds
        numbers[base + _FIRST + bisect_left(BUCKETS, seconds)] += 1.0

    def refused(self, model: str, is_refused: bool) -> None:
        """Say whether this worker keeps an older artifact under a name."""
        self._all[self._bases[model] + _LATE] = float(is_refused)

    def text(self, digests: Mapping[str, str]) -> bytes:
        """Return the sums over all workers, as Prometheus reads them."""
        rows = [self._all[i : i + self._width] for i in range(0, len(self._all), self._width)]
        sums = [sum(column) for column in zip(*rows, strict=True)]
        lines: dict[str, list[str]] = {name: [] for name in _HELP}
        lines["in_flight"].append(f" {sums[0]:g}")
        for index, model in enumerate(self._models):
            one = sums[1 + _WIDTH * index : 1 + _WIDTH * (index + 1)]
            self._of_model(model, one, lines)
            if model:
                info = f'{{model="{model}",digest="{digests[model]}"}} 1'
                lines["model_info"].append(info)
                lines["model_refused"].append(f'{{model="{model}"}} {one[_LATE]:g}')
        found = []
        for name, (kind, said) in _HELP.items():
            full = f"artifact_pipeline_{name}"
            found += [f"# HELP {full} {said}", f"# TYPE {full} {kind}"]
            found += [full + line for line in lines[name]]
        return ("\n".join(found) + "\n").encode()

    def _of_model(self, model: str, one: Sequence[float], lines: dict[str, list[str]]) -> None:
        label = f'model="{model}"'
        for status, place in _PLACE.items():
            lines["requests_total"].append(f'{{{label},code="{status}"}} {one[place]:.0f}')
            if status in KINDS:
                kind = f'{{{label},kind="{KINDS[status]}"}} {one[place]:.0f}'
                lines["errors_total"].append(kind)
        lines["rows_total"].append(f"{{{label}}} {one[_ROWS]:.0f}")
        total = 0.0
        for bound, count in zip((*BUCKETS, "+Inf"), one[_FIRST:_LATE], strict=True):
            total += count
            lines["request_seconds"].append(f'_bucket{{{label},le="{bound}"}} {total:.0f}')
        lines["request_seconds"].append(f"_sum{{{label}}} {one[_SUM]:g}")
        lines["request_seconds"].append(f"_count{{{label}}} {total:.0f}")

    def _take(self, folder: str, workers: int) -> int:
        """Return the number of a row that no living worker has, and hold it."""
        for number in range(_spare(workers)):
            try:
                self._held.enter_context(file_lock(Path(folder) / f"worker-{number}", "taken"))
            except StoreError:
                continue
            return number
        raise StoreError("each row of the metrics is taken", where=folder)
