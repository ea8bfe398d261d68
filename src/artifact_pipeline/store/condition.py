"""Conditions on runs: `test.roc_auc > 0.8 and params.solver in ('lbfgs', 'saga')`.

The grammar is Python's for comparisons, `in`, `and`, `or`, `not`, names with points, numbers,
strings, `True` and `False`. Python parses the text; nothing in it is evaluated as Python.

A missing value matches nothing, as NULL in SQL: a comparison with it is neither true nor false, and
so is the negation. The same holds for a value that has another type than most of its field.
"""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from msgspec import Struct

from artifact_pipeline.errors import CallError, Location, quoted
from artifact_pipeline.store.run_fields import check_field, value_of
from artifact_pipeline.store.run_rows import RunRow, Scalar

MAX_LENGTH = 2000
"""Characters of a condition."""
MAX_DEPTH = 30
"""Nested levels of a condition."""
LOCATION = Location("--where")

_OPERATORS: dict[type[ast.cmpop], Callable[[Scalar, Scalar], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_EXPECTED = "expected comparisons such as test.accuracy > 0.9, joined with and, or, not"
_KINDS = {bool: "true or false", int: "a number", float: "a number", str: "a text"}
_REFUSED = {
    ast.Call: "a call",
    ast.BinOp: "arithmetic",
    ast.UnaryOp: "arithmetic",
    ast.Attribute: "an attribute of a value",
    ast.Subscript: "an index",
    ast.Lambda: "a function",
    ast.JoinedStr: "a formatted text",
    ast.Compare: "`is`",
    ast.Constant: "a value that is no comparison",
}


class Operand(Struct, frozen=True):
    """A field of a run, or a literal."""

    field: str | None
    literal: Scalar | None = None

    def value(self, row: RunRow) -> Scalar | None:
        """Return its value for a run; None if it is missing."""
        return self.literal if self.field is None else value_of(row, self.field)

    def described(self, value: Scalar) -> str:
        """Return its name and the type of a value of it, for a message."""
        if self.field is None:
            return quoted(value) if isinstance(value, str) else str(value)[:60]
        return f"{self.field}, {_KINDS[type(value)]},"


class Predicate(Struct, frozen=True, kw_only=True):
    """Two operands and the operator between them."""

    compare: Callable[[Scalar, Scalar], bool]
    left: Operand
    right: Operand
    need: type[Scalar] | None = None
    """The type that both must have; None for any, the same for both."""


class Combination(Struct, frozen=True):
    """Conditions of which all or any must hold."""

    parts: list[Condition]
    any: bool


class Negation(Struct, frozen=True):
    """A condition that must not hold."""

    part: Condition


Condition: TypeAlias = Predicate | Combination | Negation


def matching(rows: Sequence[RunRow], condition: str, *, known: Sequence[str]) -> list[RunRow]:
    """Return the rows that a condition holds for.

    Args:
        rows: The rows.
        condition: The condition.
        known: The names of all fields.

    Raises:
        CallError: If it is not a condition, names an unknown field, or compares values of types
            that cannot be compared in any row, such as a number with a text.
    """
    parsed = parse(condition, known)
    for predicate in _predicates(parsed):
        _check_types(predicate, rows)
    return [row for row in rows if _truth(parsed, row)]


def parse(condition: str, known: Sequence[str]) -> Condition:
    """Return a condition as a tree. Raises as `matching`, but compares no types."""
    if len(condition) > MAX_LENGTH:
        problem = f"the condition has {len(condition):,} characters, more than {MAX_LENGTH:,}"
        raise CallError(problem, location=LOCATION)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(condition.strip(), mode="eval").body
    except (MemoryError, RecursionError) as error:
        raise CallError("the condition is nested too deep", location=LOCATION) from error
    except (SyntaxError, ValueError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else "it holds bytes that are not text"
        problem = f"{quoted(condition)} cannot be read: {reason}"
        raise CallError(problem, location=LOCATION, remedy=_EXPECTED) from error
    return _condition(tree, frozenset(known), depth=0)


def _condition(node: ast.expr, known: frozenset[str], *, depth: int) -> Condition:
    if depth > MAX_DEPTH:
        raise CallError("the condition is nested too deep", location=LOCATION)
    if isinstance(node, ast.BoolOp):
        parts = [_condition(part, known, depth=depth + 1) for part in node.values]
        return Combination(parts, any=isinstance(node.op, ast.Or))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return Negation(_condition(node.operand, known, depth=depth + 1))
    if isinstance(node, ast.Compare):
        lefts = [node.left, *node.comparators]
        parts = [
            _predicate(sign, lefts[index], right=right, known=known)
            for index, (sign, right) in enumerate(zip(node.ops, node.comparators, strict=True))
        ]
        return parts[0] if len(parts) == 1 else Combination(parts, any=False)
    if _name(node) is None:
        raise _refused(node)
    return Predicate(
        compare=operator.eq, left=_operand(node, known), right=Operand(None, True), need=bool
    )


def _predicate(
    sign: ast.cmpop, left: ast.expr, *, right: ast.expr, known: frozenset[str]
) -> Condition:
    if type(sign) in _OPERATORS:
        return Predicate(
            compare=_OPERATORS[type(sign)],
            left=_operand(left, known),
            right=_operand(right, known),
        )
    if not isinstance(sign, (ast.In, ast.NotIn)):
        raise CallError("holds `is`", location=LOCATION, remedy="use == instead")
    member = _operand(left, known)
    inside: Condition
    if isinstance(right, (ast.Tuple, ast.List)):
        options = [_operand(option, known) for option in right.elts]
        inside = Combination(
            [Predicate(compare=operator.eq, left=member, right=option) for option in options],
            any=True,
        )
    else:
        inside = Predicate(compare=_is_part, left=member, right=_operand(right, known), need=str)
    return inside if isinstance(sign, ast.In) else Negation(inside)


def _is_part(part: Scalar, text: Scalar) -> bool:
    return str(part) in str(text)


def _operand(node: ast.expr, known: frozenset[str]) -> Operand:
    name = _name(node)
    if name is not None:
        return Operand(check_field(name, known, location=LOCATION))
    sign = 1
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        node, sign = node.operand, -1
    value = node.value if isinstance(node, ast.Constant) else ...
    if value is None:
        problem = "None cannot be compared: a missing value never matches"
        raise CallError(problem, location=LOCATION)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return Operand(None, sign * value)
    if sign == 1 and isinstance(value, (bool, str)):
        return Operand(None, value)
    raise _refused(node)


def _name(node: ast.expr) -> str | None:
    """Return a name with points, such as `params.C`; None for another expression."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(names)]) if isinstance(node, ast.Name) else None


def _refused(node: ast.expr) -> CallError:
    what = _REFUSED.get(type(node), "an expression of another kind")
    return CallError(f"holds {what}", location=LOCATION, remedy=_EXPECTED)


def _predicates(condition: Condition) -> Iterator[Predicate]:
    if isinstance(condition, Predicate):
        yield condition
    else:
        parts = [condition.part] if isinstance(condition, Negation) else condition.parts
        for part in parts:
            yield from _predicates(part)


def _check_types(predicate: Predicate, rows: Sequence[RunRow]) -> None:
    """Check that some row can make a predicate, if any has both values. Raises as `matching`."""
    left, right = predicate.left, predicate.right
    mismatch = ""
    for row in rows:
        a, b = left.value(row), right.value(row)
        if a is None or b is None:
            continue
        if _is_comparable(a, b, need=predicate.need):
            return
        mismatch = f"{left.described(a)} cannot be compared with {right.described(b)}"
        if predicate.need is bool:
            mismatch = f"{left.field} is {_KINDS[type(a)]}, expected a comparison with it"
        elif predicate.need is str:
            mismatch = f"`in` looks for a text in a text or in a list: {mismatch}"
    if mismatch:
        raise CallError(mismatch, location=LOCATION)


def _is_comparable(a: Scalar, b: Scalar, *, need: type[Scalar] | None) -> bool:
    same = _KINDS[type(a)] == _KINDS[type(b)]
    return same and (need is None or isinstance(a, need))


def _truth(condition: Condition, row: RunRow) -> bool | None:
    """Return whether a condition holds; None if that is not known."""
    if isinstance(condition, Negation):
        truth = _truth(condition.part, row)
        return None if truth is None else not truth
    if isinstance(condition, Combination):
        truths = [_truth(part, row) for part in condition.parts]
        if condition.any in truths:
            return condition.any
        return None if None in truths else not condition.any
    a, b = condition.left.value(row), condition.right.value(row)
    if a is None or b is None or not _is_comparable(a, b, need=condition.need):
        return None
    return condition.compare(a, b)
