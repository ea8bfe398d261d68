"""docs/scale.svg: time and memory of predictions against the rows, from the recorded figures.

SVG with a style for light and dark pages. Rows and time have logarithmic axes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

from benchmarks.scoring_figures import Figures, FileFigures
from benchmarks.speed import ROOT

PATH = ROOT / "docs" / "scale.svg"
WIDTH, HEIGHT = 760, 356
_PLOT_WIDTH, _PLOT_HEIGHT = 280, 220
_TOP = 56
_LEFTS = (62, 438)
_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2328; }
.title { font-weight: 600; font-size: 13px; }
.grid { stroke: #d1d9e0; }
.csv { stroke: #0550ae; } .csv-dot { fill: #0550ae; }
.parquet { stroke: #bc4c00; } .parquet-dot { fill: #bc4c00; }
path { fill: none; stroke-width: 2; }
.loop { stroke-dasharray: 5 4; stroke-width: 1.5; }
rect { fill: #ffffff; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; } .grid { stroke: #3d444d; } rect { fill: #0d1117; }
  .csv { stroke: #79c0ff; } .csv-dot { fill: #79c0ff; }
  .parquet { stroke: #ffa657; } .parquet-dot { fill: #ffa657; }
}
"""


class Panel(NamedTuple):
    """A diagram.

    Attributes:
        title: Its title, with the unit.
        left: The left end of its axis of rows.
        ticks: The values on its other axis, from the lowest.
        scale: What is proportional on that axis.
        command: The value of the command in a figure.
        loop: The value of the bare loop in a figure.
    """

    title: str
    left: float
    ticks: list[float]
    scale: Callable[[float], float]
    command: Callable[[FileFigures], float]
    loop: Callable[[FileFigures], float]


def draw(figures: Figures) -> None:
    """Write the picture of the recorded figures."""
    PATH.write_text("\n".join(_lines(figures.files)) + "\n", "utf-8")
    print(f"wrote {PATH.relative_to(ROOT)}")


def _lines(files: list[FileFigures]) -> Iterator[str]:
    rows = sorted({file.rows for file in files})
    usages = [usage for file in files for usage in (file.command, file.loop)]
    low, high = (
        round_to(math.log10(choose(usage.cpu for usage in usages)))
        for choose, round_to in ((min, math.floor), (max, math.ceil))
    )
    most = math.ceil(max(usage.peak for usage in usages) / 100)
    panels = (
        Panel(
            title="Processor time, s",
            left=_LEFTS[0],
            ticks=[10.0**exponent for exponent in range(low, high + 1)],
            scale=math.log10,
            command=lambda file: file.command.cpu,
            loop=lambda file: file.loop.cpu,
        ),
        Panel(
            title="Peak memory, MiB",
            left=_LEFTS[1],
            ticks=[100.0 * hundreds for hundreds in range(most + 1)],
            scale=float,
            command=lambda file: file.command.peak,
            loop=lambda file: file.loop.peak,
        ),
    )
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    yield f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="t d">'
    yield '<title id="t">Predictions: time and memory against the number of rows</title>'
    yield f'<desc id="d">{_description(files)}</desc>'
    yield f"<style>{_STYLE}</style>"
    yield f'<rect width="{WIDTH}" height="{HEIGHT}"/>'
    for panel in panels:
        yield from _axes(panel, rows)
        for name in ("csv", "parquet"):
            own = [file for file in files if file.format == name]
            yield from _curve(panel, own, rows=rows, name=name)
    yield from _legend()
    yield "</svg>"


def _axes(panel: Panel, rows: list[int]) -> Iterator[str]:
    left, bottom = panel.left, _TOP + _PLOT_HEIGHT
    yield f'<text class="title" x="{left}" y="{_TOP - 14}">{panel.title}</text>'
    for tick in panel.ticks:
        y = _y(panel, tick)
        yield (
            f'<path class="grid" style="stroke-width:1" d="M{left} {y:.1f}h{_PLOT_WIDTH}"/>'
            f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:,g}</text>'
        )
    for count in rows:
        x = _x(panel, count, rows)
        yield (
            f'<text x="{x:.1f}" y="{bottom + 20}" text-anchor="middle">10'
            f'<tspan dy="-5" font-size="9">{round(math.log10(count))}</tspan></text>'
        )
    yield f'<text x="{left + _PLOT_WIDTH}" y="{bottom + 36}" text-anchor="end">rows</text>'


def _curve(panel: Panel, files: list[FileFigures], *, rows: list[int], name: str) -> Iterator[str]:
    for value, line in ((panel.loop, f"{name} loop"), (panel.command, name)):
        points = [(_x(panel, file.rows, rows), _y(panel, value(file))) for file in files]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        yield f'<path class="{line}" d="M{path}"/>'
        if line == name:
            for x, y in points:
                yield f'<circle class="{name}-dot" cx="{x:.1f}" cy="{y:.1f}" r="3"/>'


def _legend() -> Iterator[str]:
    x, y = float(_LEFTS[0]), HEIGHT - 14
    for name, line, text in (
        ("csv", "csv", "CSV"),
        ("csv", "csv loop", "CSV, bare loop"),
        ("parquet", "parquet", "Parquet"),
        ("parquet", "parquet loop", "Parquet, bare loop"),
    ):
        yield f'<path class="{line}" d="M{x} {y - 4}h26"/>'
        if line == name:
            yield f'<circle class="{name}-dot" cx="{x + 13}" cy="{y - 4}" r="3"/>'
        yield f'<text x="{x + 32}" y="{y}">{text}</text>'
        x += 56 + 7 * len(text)


def _description(files: list[FileFigures]) -> str:
    return "; ".join(
        f"{file.format} with {file.rows:,} rows: {file.command.cpu:.1f} s and "
        f"{file.command.peak:.0f} MiB, the bare loop {file.loop.cpu:.1f} s and "
        f"{file.loop.peak:.0f} MiB"
        for file in files
    )


def _x(panel: Panel, count: int, rows: list[int]) -> float:
    low, high = math.log10(rows[0]), math.log10(rows[-1])
    return panel.left + 10 + (_PLOT_WIDTH - 20) * (math.log10(count) - low) / (high - low)


def _y(panel: Panel, value: float) -> float:
    low, high = panel.scale(panel.ticks[0]), panel.scale(panel.ticks[-1])
    return _TOP + _PLOT_HEIGHT * (high - panel.scale(value)) / (high - low)
