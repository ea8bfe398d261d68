"""Edge cases: rows made for the proof, unlike those that an estimator was measured on.

A form of a model is sealed only if it answers these rows as the estimator does. They are made
from what each column held in training, with a fixed seed: missing values, one and several;
numbers between, beside and beyond the known ones; texts that nobody has seen; dates before and
after; and combinations at random. A row that differs from the known ones by something that an
interface can state carries a `Flaw`, so that such rows can be refused by name.

>>> import pandas as pd
>>> from sklearn.ensemble import HistGradientBoostingClassifier
>>> X = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0]})
>>> estimator = HistGradientBoostingClassifier().fit(X, [0, 0, 1, 1])
>>> answers = answer(estimator, make(estimator, X, X, ["number"]))
>>> len(answers.rows) > 50, Flaw(0, "missing") in answers.refused
(True, False)
"""

from __future__ import annotations

import bisect
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from artifact_pipeline.builder.config.schema import Kind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERSION = 1
"""Of the rules by which the rows are made."""
SEED = 0
ROWS = 2048
"""The most rows of one kind, but one for each column."""
CELLS = 1 << 21
"""The most values of one kind: of wide tables several columns are tried in one row."""
CALLS = 3000
"""How often an estimator is called to find what it refuses; beyond, all that is left counts."""
FEW = 100
"""Integers of at most this many values may act as categories."""
LONG = 200_000
"""Of longer columns a sample tells whether their numbers may act as categories."""
LISTED = 100_000
"""How many values of a column may be listed where no others are taken."""

FLOAT32_MAX = 3.4028234663852886e38
YEARS = (-719162.0, 2932896.0)
"""The days of 0001-01-01 and 9999-12-31."""

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
"""Texts that scripts, readers and regular expressions treat each in its own way."""

_SIDES = ("below", "above")
FlawKind = Literal["missing", "unseen", "other", "below", "above"]


class Flaw(NamedTuple):
    """How a row differs from the known ones in a column, as far as an interface can state it."""

    column: int
    kind: FlawKind
    """A missing value; an unseen text; a number other than the known ones; one below or above
    the known range."""
    level: int = 0
    """How far below or above; see `Column.below`."""


class Column(NamedTuple):
    """What is known of a column."""

    kind: Kind
    needed: list[str]
    """Which kinds of flaws training or held-out rows have, so that a form must take them."""
    texts: list[str] | None
    """The known texts, sorted, where they may act as categories."""
    numbers: list[float] | None
    """The known numbers, sorted, where they may act as categories."""
    below: list[float]
    """The least number of each level, from the known range outward: a flaw of level n lies below
    the n-th, and not below the one after."""
    above: list[float]


class EdgeCases(NamedTuple):
    """Rows that are made for the proof."""

    rows: Any
    """A DataFrame, or (n_rows, n_features) float64."""
    kinds: list[str]
    """What each row tries, as the manifest counts it."""
    flaws: list[list[Flaw]]
    """Of each row, the first being what it was made for."""
    columns: list[Column]


Answer = tuple[Any, Any, Any]
"""Labels or numbers, probabilities or None, and decision scores or None, of the same rows."""


class Answers(NamedTuple):
    """The rows that an estimator takes, and what it says of them."""

    rows: Any
    kinds: list[str]
    flaws: list[list[Flaw]]
    columns: list[Column]
    outputs: Answer
    """Of all rows, stacked."""
    refused: list[Flaw]
    """What the estimator does not take, or gives no number for."""
    made: dict[str, int]
    """How many rows were made, by kind."""
    lowercase: list[int]
    """The columns of text that the estimator puts in lower case before all else."""


class _Row(NamedTuple):
    kind: str
    base: int
    values: dict[int, Any]
    flaws: list[Flaw]


def make(
    estimator: Any, known: Any, held_out: Any, kinds: Sequence[Kind] | None = None
) -> EdgeCases:
    """Return edge cases for a fitted estimator, the same for the same rows.

    `known` are the rows that it learned from, `held_out` those that it is measured on; both a
    DataFrame with columns of `kinds`, or (n_rows, n_features) float64.
    """
    import numpy as np

    from artifact_pipeline.builder.data.frames import frame

    rng = np.random.default_rng(SEED)
    seen, base = _arrays(known), _arrays(held_out)
    types: list[Kind] = list(kinds) if kinds is not None else ["number"] * len(seen)
    encoded = _categories(estimator)
    columns = [
        _column(kind, known_values, held_out_values, encoded)
        for kind, known_values, held_out_values in zip(types, seen, base, strict=True)
    ]
    maker = _Maker(columns, seen, len(base[0]), rng)
    gaps = kinds is not None or any("missing" in column.needed for column in columns)
    rows = [
        *(maker.missing() if gaps else ()),
        *maker.unseen(),
        *maker.numbers(_thresholds(estimator, len(columns))),
        *maker.beyond(),
        *maker.combinations(),
    ]
    bases = [row.base for row in rows]
    made = [values[bases] for values in base]
    for place, row in enumerate(rows):
        for index, value in row.values.items():
            made[index][place] = value
    data: Any = np.column_stack(made) if kinds is None else None
    if data is None:
        data = frame(dict(zip(held_out.columns, made, strict=True)))
    return EdgeCases(data, [row.kind for row in rows], [row.flaws for row in rows], columns)


def answer(estimator: Any, cases: EdgeCases) -> Answers:
    """Return what an estimator says of edge cases, and what of them it does not take."""
    import numpy as np

    refused: set[Flaw] = set()
    calls = iter(range(CALLS))
    found: dict[int, Answer] = {}

    def ask(rows: list[int]) -> bool:
        """Keep what the estimator says of rows, and return whether it takes them."""
        if next(calls, None) is None:
            return False
        try:
            outputs = outputs_of(estimator, _take(cases.rows, rows))
        except Exception:  # noqa: BLE001  (an estimator may raise anything: then it refuses)
            return False
        for place, row in enumerate(rows):
            predicted, *others = (None if part is None else part[place] for part in outputs)
            found[row] = (predicted, others[0], others[1])
        return True

    def phase(rows: Iterable[int]) -> None:
        groups: dict[Any, list[int]] = {}
        for row in rows:
            flaws = cases.flaws[row]
            if row not in found and refused.isdisjoint(flaws):
                groups.setdefault(tuple(flaws) if flaws else row, []).append(row)
        for group in _refusals(list(groups.values()), ask):
            for row in group:
                found.pop(row, None)
            refused.update(guilty(cases.flaws[group[0]]))

    order = range(len(cases.kinds))
    mixed = ("several missing", "combinations")
    single = [row for row in order if cases.kinds[row] not in mixed]
    phase(row for row in single if not any(f.kind in _SIDES for f in cases.flaws[row]))
    phase(single)
    phase(order)
    for row, parts in list(found.items()):
        if any(part is not None and np.any(part != part) for part in parts):
            refused.update(guilty(cases.flaws[row]))
            del found[row]
    refused = with_outer(refused, cases.columns)
    kept = [row for row in sorted(found) if refused.isdisjoint(cases.flaws[row])]
    answers = [found[row] for row in kept]
    gives = [bool(answers) and answers[0][place] is not None for place in (1, 2)]
    return Answers(
        rows=_take(cases.rows, kept),
        kinds=[cases.kinds[row] for row in kept],
        flaws=[cases.flaws[row] for row in kept],
        columns=cases.columns,
        outputs=(
            np.array([predicted for predicted, _, _ in answers]),
            np.stack([proba for _, proba, _ in answers]) if gives[0] else None,
            np.stack([scores for _, _, scores in answers]) if gives[1] else None,
        ),
        refused=sorted(refused),
        made={kind: cases.kinds.count(kind) for kind in dict.fromkeys(cases.kinds)},
        lowercase=sorted(lowercase(estimator)[0]),
    )


def guilty(flaws: Sequence[Flaw]) -> list[Flaw]:
    """Return the flaws of a row for which it is refused: a number is new beyond the known range,
    too, and that was tried by itself."""
    beyond = {flaw.column for flaw in flaws if flaw.kind in _SIDES}
    return [flaw for flaw in flaws if flaw.kind != "other" or flaw.column not in beyond]


def with_outer(refused: Iterable[Flaw], columns: Sequence[Column]) -> set[Flaw]:
    """Return refused flaws with those that lie farther out in the same column."""
    found = set(refused)
    for flaw in list(found):
        if flaw.kind in _SIDES:
            bounds: list[float] = getattr(columns[flaw.column], flaw.kind)
            found.update(flaw._replace(level=n) for n in range(flaw.level, len(bounds)))
    return found


def outputs_of(estimator: Any, rows: Any) -> Answer:
    """Return what an estimator predicts of rows that it takes, without its warnings."""
    import numpy as np

    from artifact_pipeline.builder.model.estimators import decision_scores, predict_with_proba

    with warnings.catch_warnings(action="ignore"), np.errstate(all="ignore"):
        return (*predict_with_proba(estimator, rows), decision_scores(estimator, rows))


def _refusals(groups: list[list[int]], ask: Callable[[list[int]], bool]) -> Iterator[list[int]]:
    """Yield the groups of rows that are not taken, halving what fails."""
    waiting = [groups] if groups else []
    while waiting:
        some = waiting.pop()
        if ask([row for group in some for row in group]):
            continue
        if len(some) == 1:
            yield some[0]
            continue
        middle = len(some) // 2
        waiting += [some[middle:], some[:middle]]


def lowercase(estimator: Any) -> tuple[set[int], bool]:
    """Return the places of the columns of text that only vectorizers take which put them in lower
    case, and whether these are all that any such vectorizer takes."""
    from artifact_pipeline.builder.model.estimators import parts_of

    branches = _first(estimator)
    lowered: set[int] = set()
    other: set[int] = set()
    accounted: set[int] = set()
    places = getattr(branches, "_transformer_to_input_indices", {})
    for name, transformer, _ in getattr(branches, "transformers_", ()):
        if isinstance(transformer, str) and transformer == "drop":
            continue
        firsts = _firsts(transformer)
        for part in firsts:
            (lowered if _lowers(part) else other).update(places.get(name, ()))
        accounted.update(id(part) for part in firsts)
    known = all(id(part) in accounted for part in parts_of(estimator) if _lowers(part))
    return lowered - other, known and lowered.isdisjoint(other)


def _first(part: Any) -> Any:
    while hasattr(part, "steps"):
        part = part.steps[0][1]
    return part


def _firsts(part: Any) -> list[Any]:
    """Return what takes the columns of a branch: the first steps of pipelines and unions."""
    part = _first(part)
    if not hasattr(part, "transformer_list"):
        return [part]
    found = [one for _, one in part.transformer_list if not isinstance(one, str) or one != "drop"]
    return [first for one in found for first in _firsts(one)]


def _lowers(part: Any) -> bool:
    from sklearn.feature_extraction.text import CountVectorizer

    return (
        isinstance(part, CountVectorizer)
        and hasattr(part, "vocabulary_")  # or it is the one that was cloned before it was fitted
        and part.lowercase
        and part.preprocessor is None
        and isinstance(part.analyzer, str)
    )


def flaws_of(column: Column, index: int, value: Any) -> list[Flaw]:
    """Return how a value differs from what is known of its column."""
    if column.kind == "text":
        if value == "":
            return [Flaw(index, "missing")]
        known = column.texts is not None and _holds(column.texts, value)
        return [] if known else [Flaw(index, "unseen")]
    if value != value:
        return [Flaw(index, "missing")]
    flaws = []
    if column.below and value < column.below[0]:
        flaws.append(Flaw(index, "below", sum(value < bound for bound in column.below) - 1))
    if column.above and value > column.above[0]:
        flaws.append(Flaw(index, "above", sum(value > bound for bound in column.above) - 1))
    if column.numbers is not None and not _holds(column.numbers, value):
        flaws.append(Flaw(index, "other"))
    return flaws


def _holds(ordered: list[Any], value: Any) -> bool:
    place = bisect.bisect_left(ordered, value)
    return bool(place < len(ordered) and ordered[place] == value)


def _arrays(rows: Any) -> list[NDArray[Any]]:
    import numpy as np

    if hasattr(rows, "columns"):
        return [rows[name].to_numpy() for name in rows.columns]
    return list(np.asarray(rows, dtype=np.float64).T)


def _take(rows: Any, index: Sequence[int]) -> Any:
    if hasattr(rows, "iloc"):
        return rows.iloc[list(index)].reset_index(drop=True)
    return rows[list(index)]


def _column(
    kind: Kind, known: NDArray[Any], held_out: NDArray[Any], encoders: list[set[Any]]
) -> Column:
    import numpy as np

    if kind == "text":
        texts = set(known.tolist())
        needed = ["missing"] if "" in texts or "" in held_out else []
        if not set(held_out.tolist()) <= texts:
            needed.append("unseen")
        encoded = _shared(encoders, texts)
        few = _act_as_categories(len(texts), len(known)) or bool(encoded)
        return Column(kind, needed, sorted(texts | encoded) if few else None, None, [], [])
    needed = ["missing"] if np.isnan(known).any() or np.isnan(held_out).any() else []
    if kind == "boolean":
        return Column(kind, needed, None, [0.0, 1.0], [], [])
    (values, all_known), (new, _) = _distinct(known), _distinct(held_out)
    if not all_known or len(np.setdiff1d(new, values)):
        needed.append("other")
    # The range that must be taken is that of the held-out rows as well.
    span = np.concatenate([values, new]) if len(values) + len(new) else np.zeros(1)
    low, high = float(span.min()), float(span.max())
    numbers = None
    if all_known and _act_as_categories(len(values), len(known)):
        encoded = _shared(encoders, set(values.tolist()))
        numbers = [float(one) for one in np.union1d(values, sorted(encoded))]
    wide = max(high - low, abs(low), abs(high), 1.0)
    near = YEARS if kind == "date" else (low - 10 * wide, high + 10 * wide)
    far = 1e6 * wide
    below = [low, *([0.0] if low > 0 else []), near[0], -far, -FLOAT32_MAX]
    above = [high, *([0.0] if high < 0 else []), near[1], far, FLOAT32_MAX]
    return Column(kind, needed, None, numbers, _outward(below, -1), _outward(above, 1))


def _distinct(values: NDArray[Any]) -> tuple[NDArray[np.float64], bool]:
    """Return the distinct numbers, sorted, and whether these are all: of a long column that holds
    no codes they are those of a sample and the ends."""
    import numpy as np

    finite = values[np.isfinite(values)]
    if len(finite) > LONG:
        sample = finite[:: len(finite) // LONG + 1]
        found = np.unique(sample)
        if not _act_as_categories(len(found), len(sample)):
            return np.union1d(found, [finite.min(), finite.max()]), False
    return np.unique(finite), True


def _act_as_categories(values: int, rows: int) -> bool:
    return values <= FEW or (values <= LISTED and 2 * values <= rows)


def _outward(bounds: list[float], sign: int) -> list[float]:
    """Return bounds without those that do not lie beyond the ones before."""
    found = bounds[:1]
    for bound in bounds[1:]:
        if sign * bound > sign * found[-1]:
            found.append(bound)
    return found


def _categories(estimator: Any) -> list[set[Any]]:
    """Return the texts or numbers that each column of an encoder knows."""
    import numpy as np

    from artifact_pipeline.builder.model.estimators import parts_of

    found = []
    for part in parts_of(estimator):
        for values in getattr(part, "categories_", None) or ():
            known = {one for one in np.asarray(values).tolist() if one is not None and one == one}
            if len({isinstance(one, str) for one in known}) == 1:
                found.append(known)
    return found


def _shared(encoders: list[set[Any]], seen: set[Any]) -> set[Any]:
    """Return what the encoders know that share values with a column."""
    return set().union(*(known for known in encoders if not seen.isdisjoint(known)))


def _thresholds(estimator: Any, features: int) -> dict[int, list[float]]:
    """Return where trees part the numbers of a column, if they see the columns as they are."""
    from artifact_pipeline.builder.model.estimators import parts_of

    found: dict[int, set[float]] = {}
    for part in parts_of(estimator):
        if getattr(part, "n_features_in_", None) != features:
            continue
        tree = getattr(part, "tree_", None)
        pairs = [] if tree is None else [(tree.feature, tree.threshold)]
        for trees in getattr(part, "_predictors", None) or ():
            inner = [one.nodes[one.nodes["is_leaf"] == 0] for one in trees]
            pairs += [(nodes["feature_idx"], nodes["num_threshold"]) for nodes in inner]
        for columns, values in pairs:
            for column, value in zip(columns.tolist(), values.tolist(), strict=True):
                if 0 <= column < features and value == value:
                    found.setdefault(column, set()).add(value)
    return {column: sorted(values) for column, values in found.items()}


class _Maker:
    """Makes the rows of each kind."""

    def __init__(
        self, columns: list[Column], seen: list[NDArray[Any]], held_out: int, rng: Any
    ) -> None:
        self._columns, self._seen, self._held_out, self._rng = columns, seen, held_out, rng
        self._texts = [i for i, column in enumerate(columns) if column.kind == "text"]
        self._numbers = [i for i, column in enumerate(columns) if column.kind in ("number", "date")]

    def missing(self) -> Iterator[_Row]:
        """All held-out rows, or as many as `ROWS` allows, with a column missing; then several."""
        places = self._sample(self._held_out, max(1, ROWS // len(self._columns)))
        for needed in (True, False):
            some = [i for i, one in enumerate(self._columns) if ("missing" in one.needed) is needed]
            for bundle in self._bundles(some):
                for base in places[: max(1, CELLS // len(self._columns) // len(self._columns))]:
                    yield self._row("missing", base, {i: self._lack(i) for i in bundle})
        if len(self._columns) > 1:
            for base in self._sample(self._held_out, 64):
                most = min(len(self._columns), 5)
                several = self._rng.choice(
                    len(self._columns), self._rng.integers(2, most + 1), replace=False
                )
                yield self._row("several missing", base, {int(i): self._lack(i) for i in several})

    def unseen(self) -> Iterator[_Row]:
        """Texts that were not learned from, odd ones and those that are nearly known; and known
        ones, as they are."""
        for count, index in enumerate(self._texts):
            texts = self._odd_texts(index)
            most = max(2, min(ROWS // len(self._texts), CELLS // len(self._columns) // 16))
            turn = count * most % len(texts)
            for text in [*texts[turn:], *texts[:turn]][:most]:
                yield self._row("texts", self._any_row(), {index: text})
            known = self._columns[index].texts or []
            for place in self._sample(len(known), max(1, most // 2)):
                yield self._row("known texts", self._any_row(), {index: known[place]})

    def numbers(self, thresholds: dict[int, list[float]]) -> Iterator[_Row]:
        """Numbers between, beside and just beyond the known ones; where trees part them."""
        count = max(1, len(self._numbers))
        most = max(3, min(ROWS // count, CELLS // len(self._columns) // 16))
        # Where others than the known numbers are needed, several columns may share a row.
        shared = [i for i in self._numbers if "other" in self._columns[i].needed]
        alone = [[i] for i in self._numbers if "other" not in self._columns[i].needed]
        width = 1 + 3 * len(shared) // ROWS
        groups = [shared[at : at + width] for at in range(0, len(shared), width)]
        for number, group in enumerate([*groups, *alone]):
            near = {i: self._near_numbers(i, thresholds.get(i, [])) for i in group}
            for turn in range(number * most, (number + 1) * most):
                values = {i: found[turn % len(found)] for i, found in near.items()}
                kind = "dates" if self._columns[group[0]].kind == "date" else "numbers"
                yield self._row(kind, self._any_row(), values)

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
                                values[i] = _outside(bounds, level, share, side == "above")
                        yield self._row("numbers far beyond", self._any_row(), values)

    def combinations(self) -> Iterator[_Row]:
        """Known values of each column in new company, some of them odd; and rows twice."""
        texts = [text for text in TEXTS if len(text) < 100]
        count = min(256, max(16, CELLS // len(self._columns) // 8))
        made: list[dict[int, Any]] = [{} for _ in range(count)]
        for index, seen in enumerate(self._seen):
            column = self._columns[index]
            values = seen[self._rng.integers(len(seen), size=count)].tolist()
            odd: list[Any] = []
            if column.kind == "text":
                odd = [texts[n] for n in self._rng.integers(len(texts), size=count).tolist()]
            elif column.kind != "boolean":
                odd = self._rng.uniform(column.below[0], column.above[0], count).tolist()
            chosen = self._rng.random(count) < 0.1
            for row, value, place in zip(made, values, range(count), strict=True):
                row[index] = odd[place] if odd and chosen[place] else value
        yield from (self._row("combinations", 0, values) for values in made)
        for base in self._sample(self._held_out, 16):
            yield self._row("twice", base, {})
            yield self._row("twice", base, {})

    def _row(self, kind: str, base: int, values: dict[int, Any]) -> _Row:
        flaws = [
            flaw
            for index, value in values.items()
            for flaw in flaws_of(self._columns[index], index, value)
        ]
        return _Row(kind, int(base), values, flaws)

    def _lack(self, index: int) -> Any:
        return "" if self._columns[index].kind == "text" else float("nan")

    def _any_row(self) -> int:
        return int(self._rng.integers(self._held_out))

    def _sample(self, count: int, most: int) -> list[int]:
        if count <= most:
            return list(range(count))
        return sorted(self._rng.choice(count, most, replace=False).tolist())

    def _bundles(self, columns: list[int]) -> Iterator[list[int]]:
        """Yield columns one by one, or of a wide table several at once."""
        import numpy as np

        if columns:
            most = min(len(columns), max(16, CELLS // len(self._columns) // 8))
            yield from (part.tolist() for part in np.array_split(columns, most))

    def _odd_texts(self, index: int) -> list[str]:
        import unicodedata

        known = [text for text in self._columns[index].texts or self._sampled(index) if text]
        made = []
        for place in self._sample(len(known), 12):
            text = known[place]
            made += [
                *(text.upper(), text.title(), text.swapcase(), f" {text} ", text * 2),
                *(text.replace(" ", "\u00a0"), text.replace(" ", "  "), text.replace(" ", "\n")),
                *(text.replace("i", "İ"), text.replace("s", "ſ"), text.replace("ss", "ß")),
                *(unicodedata.normalize("NFD", text), unicodedata.normalize("NFKC", text)),
                *(text[: len(text) // 2] + "\u200b" + text[len(text) // 2 :], text[:-1]),
            ]
        # What stands for a missing text, and a text of another row, are tried elsewhere.
        unique = [text for text in dict.fromkeys([*made, *TEXTS]) if text]
        self._rng.shuffle(unique)
        return unique

    def _sampled(self, index: int) -> list[str]:
        return [self._seen[index][i] for i in self._sample(len(self._seen[index]), 50)]

    def _near_numbers(self, index: int, thresholds: list[float]) -> list[float]:
        import numpy as np

        column = self._columns[index]
        known = np.asarray(column.numbers or np.unique(self._seen[index]), dtype=np.float64)
        known = known[np.isfinite(known)]
        low, high = column.below[0], column.above[0]
        found: list[float] = []
        if len(known):
            some = known[self._sample(len(known), 6)]
            middle = (known[:-1] + known[1:]) / 2 if len(known) > 1 else known
            parted = np.concatenate([middle[self._sample(len(middle), 6)], thresholds])
            edges = parted[self._sample(len(parted), 12)]
            found += [*some.tolist(), *(some + 0.5).tolist(), *(some + 1e-7).tolist()]
            for value in [*edges.tolist(), *some[:2].tolist()]:
                found.append(value)
                for to in (-np.inf, np.inf):
                    found.append(float(np.nextafter(value, to)))
                    found.append(float(np.nextafter(np.float32(value), np.float32(to))))
        found += [low - 1, low - 0.3, high + 1, high + 0.5, float(np.nextafter(high, np.inf))]
        found += [0.0, -0.0, 1.5, -0.3, 7.0, 2.0000001, -1.0, 5e-324, 1e-310, 1.1754942e-38, 1e-45]
        if column.kind == "date":
            found = [value for value in found if YEARS[0] <= value <= YEARS[1] + 1]
            found += [*YEARS, low - 365.25, high + 365.25, high + 0.5]
        self._rng.shuffle(found)
        return found


def _outside(bounds: list[float], level: int, share: int, above: bool) -> float:
    """Return a number beyond the bound of a level, near it or near the next."""
    import numpy as np

    near = float(np.nextafter(bounds[level], np.inf if above else -np.inf))
    if abs(bounds[level]) >= FLOAT32_MAX:
        return near if share == 0 else float(np.copysign(1e300, 1 if above else -1))
    if level + 1 < len(bounds):
        return near if share == 0 else bounds[level + 1]
    return near
