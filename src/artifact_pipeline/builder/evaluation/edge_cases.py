"""Edge cases: rows made for the proof, unlike those that an estimator was measured on.

A form of a model is sealed only if it gives the estimator's outputs for these rows. They are made
from the values of each column in training, with a fixed seed: missing values, one and several;
numbers between, beside and beyond the known ones; unseen texts; dates before and after; and random
combinations.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from artifact_pipeline.builder.config.values import Kind
from artifact_pipeline.builder.evaluation import edge_columns
from artifact_pipeline.builder.evaluation.edge_columns import (
    FLOAT32_MAX,
    YEARS,
    Column,
    Flaw,
    flaws_of,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

VERSION = 4
"""The version of the rules by which the rows are made."""
SEED = 0
ROWS = 2048
"""Maximum rows of one kind, or one for each column if that is more."""
CELLS = 1 << 21
"""Maximum values of one kind; in wide tables, a row tries several columns."""

TEXTS = (
    *("Ünseen é 日本 x 1", "x", "Σ", "ΟΔΟΣ ΟΔΥΣΣΕΥΣ", "İstanbul IĞDIR ı", "STRASSE ẞ ß", "ſtraſse"),
    *("ꭰꮳꮃꭹ ᏣᎳᎩ", "ǅ ǆ Ǆ ŉ ﬁ ﬄ", "ÀÉÎÕÜ àéîõü", "e\u0301 E\u0301 A\u030a", "\u1e9b\u0323 Å Å"),
    *(" leading", "trailing ", "two  spaces", "tab\there", "no\u00a0break", "next\u0085line"),
    *("line\u2028separator", "zero\u200bwidth", "bom\ufeffinside", "line\nend", "line\r\nend", " "),
    *(
        "١٢٣ ४५६ １２３",
        "①②③ Ⅷ ½",
        "🙂 👩‍👩‍👧 🇫🇷",
        "12",
        "1.5",
        "-0",
        "1e5",
        "NaN",
        "nan",
        "None",
        "null",
    ),
    *("true", "2026-01-01", "2026-01-31T12:00:00Z", "07", "_a_b_", "a_b a-b a'b", "co-op naïve"),
    *("<b>&amp;</b>", "a,b;c|d", '"quoted"', "\\back/slash", "日本語 テキスト 한국어", "हिन्दी ไทย"),
    *("\U00010400\U00010428 𝐀𝐛𝟏", "ა Ა ჰ", "word " * 400, "z" * 5000),
)
"""Texts that scripts, readers and regular expressions treat in special ways."""


class EdgeCases(NamedTuple):
    """Rows that are made for the proof.

    Attributes:
        rows: A DataFrame, or (n_rows, n_features) float64.
        kinds: The kind of each row, as counted in the manifest.
        flaws: The flaws of each row; the first is the one that the row was made for.
        columns: The known values of each column.
    """

    rows: Any
    kinds: list[str]
    flaws: list[list[Flaw]]
    columns: list[Column]


class _Row(NamedTuple):
    kind: str
    base: int
    values: dict[int, Any]
    flaws: list[Flaw]


def make(
    estimator: Any, known: Any, *, held_out: Any, kinds: Sequence[Kind] | None = None
) -> EdgeCases:
    """Return edge cases for a fitted estimator, the same for the same rows.

    Args:
        known: The training rows, a DataFrame with columns of `kinds` or (n_rows, n_features)
            float64.
        held_out: The rows that the estimator is measured on, likewise.
    """
    import numpy as np

    from artifact_pipeline.builder.data.frames import frame

    rng = np.random.default_rng(SEED)
    seen, base = _arrays(known), _arrays(held_out)
    types: list[Kind] = list(kinds) if kinds is not None else ["number"] * len(seen)
    columns = edge_columns.describe(types, seen, held_out=base, estimator=estimator)
    maker = _Maker(columns, seen, held_out=len(base[0]), rng=rng)
    gaps = kinds is not None or any("missing" in column.needed for column in columns)
    rows = [
        *(maker.missing() if gaps else ()),
        *maker.unseen(),
        *maker.numbers(_thresholds(estimator, len(columns))),
        *maker.beyond(),
        *maker.combinations(),
        *maker.equal_numbers(),
    ]
    bases = [row.base for row in rows]
    values_of = [values[bases] for values in base]
    for place, row in enumerate(rows):
        for index, value in row.values.items():
            values_of[index][place] = value
    data: Any = np.column_stack(values_of) if kinds is None else None
    if data is None:
        data = frame(dict(zip(held_out.columns, values_of, strict=True)))
    return EdgeCases(
        rows=data,
        kinds=[row.kind for row in rows],
        flaws=[row.flaws for row in rows],
        columns=columns,
    )


def _arrays(rows: Any) -> list[NDArray[Any]]:
    import numpy as np

    if hasattr(rows, "columns"):
        return [rows[name].to_numpy() for name in rows.columns]
    return list(np.asarray(rows, dtype=np.float64).T)


def _thresholds(estimator: Any, features: int) -> dict[int, list[float]]:
    """Return the thresholds of each column: those of trees that read the columns unchanged, and
    those of bins and binarizers, which may read any column."""
    from artifact_pipeline.builder.model.estimators import parts_of

    thresholds: dict[int, set[float]] = {}
    for part in parts_of(estimator):
        for bound in _bounds(part):
            for column in range(features):
                thresholds.setdefault(column, set()).add(bound)
        if getattr(part, "n_features_in_", None) != features:
            continue
        tree = getattr(part, "tree_", None)
        pairs = [] if tree is None else [(tree.feature, tree.threshold)]
        for trees in getattr(part, "_predictors", None) or ():
            inner = [predictor.nodes[predictor.nodes["is_leaf"] == 0] for predictor in trees]
            pairs += [(nodes["feature_idx"], nodes["num_threshold"]) for nodes in inner]
        for columns, values in pairs:
            for column, value in zip(columns.tolist(), values.tolist(), strict=True):
                if 0 <= column < features and value == value:
                    thresholds.setdefault(column, set()).add(value)
    return {column: sorted(values) for column, values in thresholds.items()}


def _bounds(part: Any) -> list[float]:
    """Return the numbers at which a part of an estimator gives another output."""
    import numpy as np

    bounds = [getattr(part, name, None) for name in ("threshold", "binarize")]
    values = [value for value in bounds if isinstance(value, float)]
    edges = getattr(part, "bin_edges_", None)
    arrays = [] if edges is None else list(edges)
    for name in ("X_thresholds_", "data_min_", "data_max_"):  # isotonic steps, and clipping
        arrays.append(getattr(part, name, ()))
    arrays += [spline.t for spline in getattr(part, "bsplines_", ())]
    values += [value for array in arrays for value in np.ravel(array).tolist()[:64]]
    return [float(value) for value in values if np.isfinite(value)]


class _Maker:
    """Makes the rows of each kind."""

    def __init__(
        self, columns: list[Column], seen: list[NDArray[Any]], *, held_out: int, rng: Any
    ) -> None:
        self._columns, self._seen, self._held_out, self._rng = columns, seen, held_out, rng
        self._texts = [i for i, column in enumerate(columns) if column.kind == "text"]
        self._numbers = [i for i, column in enumerate(columns) if column.kind in ("number", "date")]

    def missing(self) -> Iterator[_Row]:
        """All held-out rows, or as many as `ROWS` allows, with a column missing; then several."""
        places = self._sample(self._held_out, max(1, ROWS // len(self._columns)))
        for needed in (True, False):
            chosen = [
                index
                for index, column in enumerate(self._columns)
                if ("missing" in column.needed) is needed
            ]
            for bundle in self._bundles(chosen):
                for base in places[: max(1, CELLS // len(self._columns) // len(self._columns))]:
                    yield self._row("missing", base, values={i: self._missing(i) for i in bundle})
        if len(self._columns) > 1:
            for base in self._sample(self._held_out, 64):
                most = min(len(self._columns), 5)
                several = self._rng.choice(
                    len(self._columns), self._rng.integers(2, most + 1), replace=False
                )
                yield self._row(
                    "several missing", base, values={int(i): self._missing(i) for i in several}
                )

    def unseen(self) -> Iterator[_Row]:
        """Unseen texts, odd ones and variants of known ones; and known texts unchanged."""
        for count, index in enumerate(self._texts):
            texts = self._odd_texts(index)
            most = max(2, min(ROWS // len(self._texts), CELLS // len(self._columns) // 16))
            turn = count * most % len(texts)
            for text in [*texts[turn:], *texts[:turn]][:most]:
                yield self._row("texts", self._any_row(), values={index: text})
            known = self._columns[index].texts or []
            for place in self._sample(len(known), max(1, most // 2)):
                yield self._row("known texts", self._any_row(), values={index: known[place]})

    def numbers(self, thresholds: dict[int, list[float]]) -> Iterator[_Row]:
        """Numbers between, beside and just beyond the known ones, and at thresholds of trees."""
        count = max(1, len(self._numbers))
        most = max(3, min(ROWS // count, CELLS // len(self._columns) // 16))
        # Columns that must accept unknown numbers can share a row.
        shared = [i for i in self._numbers if "other" in self._columns[i].needed]
        alone = [[i] for i in self._numbers if "other" not in self._columns[i].needed]
        width = 1 + 3 * len(shared) // ROWS
        groups = [shared[at : at + width] for at in range(0, len(shared), width)]
        for number, group in enumerate([*groups, *alone]):
            near = {i: self._near_numbers(i, thresholds.get(i, [])) for i in group}
            for turn in range(number * most, (number + 1) * most):
                values = {i: numbers[turn % len(numbers)] for i, numbers in near.items()}
                kind = "dates" if self._columns[group[0]].kind == "date" else "numbers"
                yield self._row(kind, self._any_row(), values=values)

    def beyond(self) -> Iterator[_Row]:
        """Numbers far beyond the known ones, level by level."""
        for bundle in self._bundles(self._numbers):
            for side in ("below", "above"):
                most = max(len(getattr(self._columns[i], side)) for i in bundle)
                for level in range(1, most):
                    for share in (0, 1):
                        values = {}
                        for i in bundle:
                            bounds = getattr(self._columns[i], side)
                            if level < len(bounds):
                                values[i] = _outside(
                                    bounds, level, share=share, above=side == "above"
                                )
                        yield self._row("numbers far beyond", self._any_row(), values=values)

    def combinations(self) -> Iterator[_Row]:
        """Known values in new combinations, some of them odd; and rows twice."""
        texts = [text for text in TEXTS if len(text) < 100]
        count = min(256, max(16, CELLS // len(self._columns) // 8))
        rows: list[dict[int, Any]] = [{} for _ in range(count)]
        for index, seen in enumerate(self._seen):
            column = self._columns[index]
            values = seen[self._rng.integers(len(seen), size=count)].tolist()
            odd: list[Any] = []
            if column.kind == "text":
                odd = [texts[n] for n in self._rng.integers(len(texts), size=count).tolist()]
            elif column.kind != "boolean":
                odd = self._rng.uniform(column.below[0], column.above[0], count).tolist()
            chosen = self._rng.random(count) < 0.1
            for row, value, place in zip(rows, values, range(count), strict=True):
                row[index] = odd[place] if odd and chosen[place] else value
        yield from (self._row("combinations", 0, values=values) for values in rows)
        for base in self._sample(self._held_out, 16):
            yield self._row("twice", base, values={})
            yield self._row("twice", base, values={})

    def equal_numbers(self) -> Iterator[_Row]:
        """Rows whose numbers are all zero, or all equal, which a norm of the row may divide by."""
        numbers = [i for i in self._numbers if self._columns[i].kind == "number"]
        for value in (0.0, 1e-300, 1.0, -1.0) if numbers else ():
            yield self._row("equal numbers", self._any_row(), values=dict.fromkeys(numbers, value))

    def _row(self, kind: str, base: int, *, values: dict[int, Any]) -> _Row:
        flaws = [
            flaw
            for index, value in values.items()
            for flaw in flaws_of(self._columns[index], value, index=index)
        ]
        return _Row(kind=kind, base=int(base), values=values, flaws=flaws)

    def _missing(self, index: int) -> Any:
        return "" if self._columns[index].kind == "text" else float("nan")

    def _any_row(self) -> int:
        return int(self._rng.integers(self._held_out))

    def _sample(self, count: int, most: int) -> list[int]:
        if count <= most:
            return list(range(count))
        return sorted(self._rng.choice(count, most, replace=False).tolist())

    def _bundles(self, columns: list[int]) -> Iterator[list[int]]:
        """Yield columns one by one, or several at once for a wide table."""
        import numpy as np

        if columns:
            most = min(len(columns), max(16, CELLS // len(self._columns) // 8))
            yield from (part.tolist() for part in np.array_split(columns, most))

    def _odd_texts(self, index: int) -> list[str]:
        import unicodedata

        known = [text for text in self._columns[index].texts or self._sampled(index) if text]
        variants = []
        for place in self._sample(len(known), 12):
            text = known[place]
            variants += [
                *(text.upper(), text.title(), text.swapcase(), f" {text} ", text * 2),
                *(text.replace(" ", "\u00a0"), text.replace(" ", "  "), text.replace(" ", "\n")),
                *(text.replace("i", "İ"), text.replace("s", "ſ"), text.replace("ss", "ß")),
                *(unicodedata.normalize("NFD", text), unicodedata.normalize("NFKC", text)),
                *(text[: len(text) // 2] + "\u200b" + text[len(text) // 2 :], text[:-1]),
            ]
        # The empty text, which is a missing one, is tried elsewhere.
        unique = [text for text in dict.fromkeys([*variants, *TEXTS]) if text]
        self._rng.shuffle(unique)
        return unique

    def _sampled(self, index: int) -> list[str]:
        return [self._seen[index][i] for i in self._sample(len(self._seen[index]), 50)]

    def _near_numbers(self, index: int, thresholds: list[float]) -> list[float]:
        import numpy as np

        column = self._columns[index]
        seen = column.numbers or np.unique(edge_columns.sample_of(self._seen[index]))
        known = np.asarray(seen, dtype=np.float64)
        known = known[np.isfinite(known)]
        low, high = column.below[0], column.above[0]
        numbers: list[float] = []
        if len(known):
            some = known[self._sample(len(known), 6)]
            middle = (known[:-1] + known[1:]) / 2 if len(known) > 1 else known
            parted = np.concatenate([middle[self._sample(len(middle), 6)], thresholds])
            edges = parted[self._sample(len(parted), 12)]
            numbers += [*some.tolist(), *(some + 0.5).tolist(), *(some + 1e-7).tolist()]
            for value in [*edges.tolist(), *some[:2].tolist()]:
                numbers.append(value)
                for to in (-np.inf, np.inf):
                    numbers.append(float(np.nextafter(value, to)))
                    numbers.append(float(np.nextafter(np.float32(value), np.float32(to))))
        numbers += [low - 1, low - 0.3, high + 1, high + 0.5, float(np.nextafter(high, np.inf))]
        numbers += [
            0.0,
            -0.0,
            1.5,
            -0.3,
            7.0,
            2.0000001,
            -1.0,
            5e-324,
            1e-310,
            1.1754942e-38,
            1e-45,
        ]
        if column.kind == "date":
            numbers = [value for value in numbers if YEARS[0] <= value <= YEARS[1] + 1]
            numbers += [*YEARS, low - 365.25, high + 365.25, high + 0.5]
        self._rng.shuffle(numbers)
        return numbers


def _outside(bounds: list[float], level: int, *, share: int, above: bool) -> float:
    """Return a number beyond the bound of a level, near it (share 0) or near the next."""
    import numpy as np

    near = float(np.nextafter(bounds[level], np.inf if above else -np.inf))
    if abs(bounds[level]) >= FLOAT32_MAX:
        return near if share == 0 else float(np.copysign(1e300, 1 if above else -1))
    if level + 1 < len(bounds):
        return near if share == 0 else bounds[level + 1]
    return near
