"""The figures of the report as inline SVG.

Colours are classes, because the page's content security policy allows no inline style.
"""

from __future__ import annotations

from collections.abc import Sequence

from artifact_pipeline.builder.artifact.evaluation import Bin
from artifact_pipeline.builder.data.dataset import Image
from artifact_pipeline.report.blocks import escape

CELL = 10
"""Width and height of a pixel, in units of the drawing."""


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


def calibration(bins: Sequence[Bin]) -> str:
    """Plot the share of correct labels (y) by their probability (x)."""
    most = max(part.rows for part in bins)
    dots = "".join(
        f'<circle class="dot" cx="{20 + 200 * part.confidence:.1f}" '
        f'cy="{210 - 200 * part.accuracy:.1f}" r="{3 + 7 * (part.rows / most) ** 0.5:.1f}"/>'
        for part in bins
    )
    label = "Calibration: the share of correct labels in each bin of probability; table below"
    return (
        f'<svg class="plot" viewBox="0 0 232 232" role="img" aria-label="{label}">'
        '<path class="axis" d="M20 10V210H220"/><path class="even" d="M20 210L220 10"/>'
        '<text x="20" y="226">0</text><text x="214" y="226">1</text><text x="8" y="16">1</text>'
        f"{dots}</svg>"
    )


def scatter(points: Sequence[tuple[float, float]]) -> str:
    """Plot predicted (y) by true numbers (x), on one scale."""
    values = [value for point in points for value in point] or [0.0]
    low, high = min(values), max(values)
    scale = 200 / ((high - low) or 1.0)
    dots = "".join(
        f'<circle class="dot" cx="{20 + (truth - low) * scale:.1f}" '
        f'cy="{210 - (predicted - low) * scale:.1f}" r="3"/>'
        for truth, predicted in points
    )
    label = f"Predicted by true numbers for {len(points)} rows, from {low:.4g} to {high:.4g}"
    return (
        f'<svg class="plot" viewBox="0 0 232 232" role="img" aria-label="{label}">'
        '<path class="axis" d="M20 10V210H220"/><path class="even" d="M20 210L220 10"/>'
        f'<text x="20" y="226">{low:.4g}</text><text x="190" y="226">{high:.4g}</text>'
        f'<text x="110" y="226">true</text><text x="26" y="18">predicted</text>{dots}</svg>'
    )


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
