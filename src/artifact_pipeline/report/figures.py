"""The figures of the report as inline SVG.

Colours are classes, because the page's content security policy allows no inline style, and because
they differ between light and dark. Each figure has a label that describes it in words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from artifact_pipeline.builder.artifact.diagnostics import Density
from artifact_pipeline.builder.data.dataset import Image
from artifact_pipeline.report.blocks import escape
from artifact_pipeline.report.numbers import tick_labels, ticks

CELL = 10
"""Width and height of a pixel, in units of the drawing."""
WIDTH, HEIGHT = 360, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 24, 10, 44


class Axis(NamedTuple):
    """One axis of a figure."""

    title: str
    low: float
    high: float


class Series(NamedTuple):
    """Points that a line joins; the style is the name of a class of the style sheet."""

    points: Sequence[tuple[float, float]]
    style: str


class Dot(NamedTuple):
    """A marked point; its radius is in units of the drawing."""

    x: float
    y: float
    radius: float = 4.0
    style: str = "dot"
    bar: tuple[float, float] | None = None
    """The ends of a vertical interval."""


def chart(
    x: Axis,
    y: Axis,
    *,
    label: str,
    lines: Sequence[Series] = (),
    dots: Sequence[Dot] = (),
    marks: Sequence[tuple[float, str]] = (),
) -> str:
    """Draw lines and points.

    Args:
        x: The horizontal axis.
        y: The vertical axis.
        label: A description for screen readers.
        lines: The lines, the last one on top.
        dots: The points, above the lines.
        marks: Ticks of the horizontal axis with their labels, in place of round numbers.
    """
    across, up = _scales(x, y)
    parts = []
    for line in lines:
        path = "L".join(f"{across(a):.1f} {up(b):.1f}" for a, b in line.points)
        parts.append(f'<path class="line {line.style}" d="M{path}"/>')
    for dot in dots:
        if dot.bar is not None:
            low, high = (up(value) for value in dot.bar)
            parts.append(f'<path class="whisker" d="M{across(dot.x):.1f} {low:.1f}V{high:.1f}"/>')
        parts.append(
            f'<circle class="{dot.style}" cx="{across(dot.x):.1f}" cy="{up(dot.y):.1f}" '
            f'r="{dot.radius:.1f}"/>'
        )
    return _plot(x, y, inside="".join(parts), label=label, marks=marks)


def bars(
    x: Axis,
    y_title: str,
    *,
    filled: Sequence[float],
    outlined: Sequence[float] | None = None,
    label: str,
) -> str:
    """Draw a histogram, and a second one as an outline above it.

    Args:
        x: The range of the equally wide bins.
        y_title: The title of the vertical axis.
        filled: The height of each bin.
        outlined: The height of each bin of the other histogram.
        label: A description for screen readers.
    """
    top = max([*filled, *(outlined or ())], default=0.0) or 1.0
    y = Axis(y_title, 0.0, top * 1.05)
    across, up = _scales(x, y)
    width = (x.high - x.low) / len(filled)
    base = up(0.0)
    parts = []
    for k, height in enumerate(filled):
        if height > 0:
            left, right = across(x.low + k * width), across(x.low + (k + 1) * width)
            parts.append(
                f'<rect class="fill" x="{left + 0.5:.1f}" y="{up(height):.1f}" '
                f'width="{max(right - left - 1, 0.5):.1f}" height="{base - up(height):.1f}"/>'
            )
    if outlined is not None:
        path = f"M{across(x.low):.1f} {base:.1f}"
        for k, height in enumerate(outlined):
            path += f"V{up(height):.1f}H{across(x.low + (k + 1) * width):.1f}"
        parts.append(f'<path class="line s1" d="{path}V{base:.1f}"/>')
    return _plot(x, y, inside="".join(parts), label=label)


def density(counts: Density, *, x_title: str, y_title: str, even: str, label: str) -> str:
    """Draw the number of rows in each rectangle as its darkness.

    Args:
        counts: The counts.
        x_title: The title of the horizontal axis.
        y_title: The title of the vertical axis.
        even: The line of perfect predictions: `diagonal` or `zero`.
        label: A description for screen readers.
    """
    x = Axis(x_title, counts.x_low, counts.x_high)
    y = Axis(y_title, counts.y_low, counts.y_high)
    across, up = _scales(x, y)
    rows, columns = len(counts.counts), len(counts.counts[0])
    width = (across(x.high) - across(x.low)) / columns
    height = (up(y.low) - up(y.high)) / rows
    most = max(max(row) for row in counts.counts) or 1
    parts = [
        f'<rect class="cell" x="{across(x.low) + k * width:.1f}" '
        f'y="{up(y.low) - (i + 1) * height:.1f}" width="{width + 0.1:.1f}" '
        f'height="{height + 0.1:.1f}" fill-opacity="{0.12 + 0.88 * (count / most) ** 0.5:.2f}"/>'
        for i, row in enumerate(counts.counts)
        for k, count in enumerate(row)
        if count
    ]
    ends = ((x.low, 0.0), (x.high, 0.0)) if even == "zero" else ((x.low, x.low), (x.high, x.high))
    (x1, y1), (x2, y2) = ends
    parts.append(
        f'<path class="even" d="M{across(x1):.1f} {up(y1):.1f}L{across(x2):.1f} {up(y2):.1f}"/>'
    )
    return _plot(x, y, inside="".join(parts), label=label)


def bar(low: float, high: float, *, mark: float | None = None, style: str = "fill") -> str:
    """Draw a part of a line from 0 to 1 for a cell of a table, which also has it as a number.

    Args:
        low: Its start.
        high: Its end.
        mark: A point to mark on it.
        style: The class of the part.
    """
    low, high = (min(max(value, 0.0), 1.0) * 100 for value in (low, high))
    tick = ""
    if mark is not None:
        at = min(max(mark, 0.0), 1.0) * 100
        tick = (
            f'<rect class="mark" x="{min(max(at - 0.7, 0.0), 98.6):.1f}" width="1.4" height="12"/>'
        )
    return (
        '<svg class="bar" viewBox="0 0 100 12" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="rail" y="5.5" width="100" height="1"/>'
        f'<rect class="{style}" x="{low:.1f}" y="2" width="{max(high - low, 0.6):.1f}" height="8"/>'
        f"{tick}</svg>"
    )


def spark(filled: Sequence[float], outlined: Sequence[float], *, label: str) -> str:
    """Draw two histograms in the height of a line of text, the second one as an outline."""
    # Each has its own scale: they are compared by shape.
    filled, outlined = (
        [h / (max(part, default=0.0) or 1.0) for h in part] for part in (filled, outlined)
    )
    top = 1.0
    width = 100 / max(len(filled), 1)
    parts = [
        f'<rect class="fill" x="{k * width:.1f}" y="{23 - 22 * height / top:.1f}" '
        f'width="{max(width - 0.8, 0.4):.1f}" height="{22 * height / top:.1f}"/>'
        for k, height in enumerate(filled)
        if height > 0
    ]
    path = "M0 23"
    for k, height in enumerate(outlined):
        path += f"V{23 - 22 * height / top:.1f}H{(k + 1) * width:.1f}"
    outline = f'<path class="line s1" d="{path}V23"/>' if any(outlined) else ""
    return (
        '<svg class="spark" viewBox="0 0 100 24" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label)}"><path class="axis" d="M0 23.5H100"/>'
        f"{''.join(parts)}{outline}</svg>"
    )


def pixels(values: Sequence[float], image: Image, *, label: str) -> str:
    """Draw a row of an image data set.

    Args:
        values: The pixels, row by row.
        image: The size of the image and the range of its values.
        label: A description for screen readers.
    """
    span = (image.max - image.min) or 1.0
    cells = [(value - image.min) / span for value in values]
    return _grid(cells, image, kinds=["ink"] * len(cells), label=label)


def weights(values: Sequence[float], image: Image, *, largest: float, label: str) -> str:
    """Draw the weights of one class as an image, positive and negative in two colours.

    Args:
        values: The weights, one for each pixel.
        image: The size of the image.
        largest: The absolute weight that is drawn darkest.
        label: A description for screen readers.
    """
    cells = [abs(value) / (largest or 1.0) for value in values]
    kinds = ["for" if value >= 0 else "against" for value in values]
    return _grid(cells, image, kinds=kinds, label=label)


def _grid(strength: Sequence[float], image: Image, *, kinds: Sequence[str], label: str) -> str:
    width, height = image.width * CELL, image.height * CELL
    cells = "".join(
        f'<rect class="{kind}" x="{i % image.width * CELL}" y="{i // image.width * CELL}" '
        f'width="{CELL}" height="{CELL}" fill-opacity="{min(max(value, 0.0), 1.0):.3f}"/>'
        for i, (value, kind) in enumerate(zip(strength, kinds, strict=True))
        if value > 0
    )
    return (
        f'<svg class="image" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(label)}">'
        f'<rect class="paper" width="{width}" height="{height}"/>{cells}</svg>'
    )


def _scales(x: Axis, y: Axis) -> tuple[Callable[[float], float], Callable[[float], float]]:
    """Return the position of a value on each axis; values outside are drawn on its end."""

    def scale(axis: Axis, *, start: float, end: float) -> Callable[[float], float]:
        span = (axis.high - axis.low) or 1.0
        return lambda value: start + (end - start) * min(max((value - axis.low) / span, 0.0), 1.0)

    return scale(x, start=_LEFT, end=WIDTH - _RIGHT), scale(y, start=HEIGHT - _BOTTOM, end=_TOP)


def _plot(
    x: Axis, y: Axis, *, inside: str, label: str, marks: Sequence[tuple[float, str]] = ()
) -> str:
    """Return a drawing with its axes, their ticks and titles."""
    across, up = _scales(x, y)
    left, right, top, bottom = _LEFT, WIDTH - _RIGHT, _TOP, HEIGHT - _BOTTOM
    labels = []
    values = [value for value, _ in marks] or ticks(x.low, x.high)
    texts = [text for _, text in marks] or tick_labels(values)
    # Long labels would run into each other.
    step = 1 if sum(map(len, texts)) * 10 < right - left else 2
    for k in range(0, len(values), step):
        # A label must not leave the drawing.
        is_last = across(values[k]) > WIDTH - 3.6 * len(texts[k])
        anchor = "end" if is_last else "middle"
        labels.append(
            f'<text x="{across(values[k]):.1f}" y="{bottom + 17}" '
            f'text-anchor="{anchor}">{texts[k]}</text>'
        )
    values = ticks(y.low, y.high)
    for value, text in zip(values, tick_labels(values), strict=True):
        labels.append(
            f'<path class="grid" d="M{left} {up(value):.1f}H{right}"/>'
            f'<text x="{left - 6}" y="{up(value) + 4:.1f}" text-anchor="end">{text}</text>'
        )
    middle = (top + bottom) / 2
    return (
        f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(label)}">{"".join(labels)}'
        f'<path class="axis" d="M{left} {top}V{bottom}H{right}"/>{inside}'
        f'<text class="name" x="{(left + right) / 2}" y="{HEIGHT - 6}" '
        f'text-anchor="middle">{escape(x.title)}</text>'
        f'<text class="name" transform="translate(13 {middle}) rotate(-90)" '
        f'text-anchor="middle">{escape(y.title)}</text></svg>'
    )
