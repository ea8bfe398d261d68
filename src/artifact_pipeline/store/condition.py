"""Conditions on runs: `test.roc_auc > 0.8 and params.solver in ('lbfgs', 'saga')`.

The grammar is Python's for comparisons, `in`, `and`, `or`, `not`, names with points, numbers,
strings, `True` and `False`. Python parses the text; nothing in it is evaluated as Python.

A missing value matches nothing, as NULL in SQL: a comparison with it is neither true nor false, and
so is the negation. The same holds for a value that has another type than most of its field. A
condition is therefore an SQL expression of the values in the index of runs.
"""

from __future__ import annotations

import ast
import math
import operator
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from msgspec import Struct

from artifact_pipeline.errors import CallError, Location, quoted
from artifact_pipeline.store.run_fields import check_field
from artifact_pipeline.store.run_index import SqlValue, sql_value
from artifact_pipeline.store.run_rows import Scalar

MAX_LENGTH = 2000
"""Maximum characters of a condition."""
MAX_DEPTH = 30
"""Maximum nested levels of a condition."""
LOCATION = Location("--where")

_OPERATORS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "=",
    ast.NotEq: "<>",
}
_OF_LITERALS: dict[str, Callable[[Scalar, Scalar], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "<>": operator.ne,
    "in": lambda part, text: str(part) in str(text),
}
_EXPECTED = "expected comparisons such as test.accuracy > 0.9, joined with and, or, not"
_SQL_KINDS: dict[type, str] = {bool: "blob", int: "real", float: "real", str: "text"}
"""SQLite's names of the types of values in the index; its integers are compared as numbers."""
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
    ast.Constant: "a value without a comparison",
}


class Operand(Struct, frozen=True):
    """A field of a run, or a literal."""

    field: str | None
    literal: Scalar | None = None

    def described(self, value: Scalar) -> str:
        """Return its name and the type of a value of it, for a message."""
        if self.field is None:
            return quoted(value) if isinstance(value, str) else str(value)[:60]
        return f"{self.field}, {_KINDS[type(value)]},"


class Predicate(Struct, frozen=True, kw_only=True):
    """Two operands and the operator between them."""

    sign: str
    """An operator of SQL, or `in` for a text in a text."""
    left: Operand
    right: Operand
    need: type[Scalar] | None = None
    """The type that both must have; None for any, the same for both."""

    @property
    def operands(self) -> tuple[Operand, Operand]:
        """Both operands."""
        return self.left, self.right


class Combination(Struct, frozen=True):
    """Conditions of which all or any must hold."""

    parts: list[Condition]
    any: bool


class Negation(Struct, frozen=True):
    """A condition that must not hold."""

    part: Condition


Condition: TypeAlias = Predicate | Combination | Negation


class Sql(NamedTuple):
    """An expression of SQL, and the values of its placeholders."""

    text: str
    values: tuple[SqlValue, ...] = ()


def sql(condition: Condition, columns: Mapping[str, str]) -> Sql:
    """Return a condition as an expression that is 1, 0 or NULL.

    Args:
        condition: The condition.
        columns: The expression of SQL for each field.
    """
    if isinstance(condition, Negation):
        part = sql(condition.part, columns)
        return Sql(f"(NOT {part.text})", part.values)
    if isinstance(condition, Combination):
        parts = [sql(part, columns) for part in condition.parts]
        return _joined(parts, "OR" if condition.any else "AND")
    left, right = condition.operands
    if left.field is None and right.field is None:
        truth = _of_literals(condition)
        return Sql("NULL" if truth is None else str(int(truth)))
    a, b = (_operand_sql(operand, columns) for operand in condition.operands)
    comparison = f"instr({b.text}, {a.text}) > 0" if condition.sign == "in" \
        else f"{a.text} {condition.sign} {b.text}"  # fmt: skip
    in_order = (*b.values, *a.values) if condition.sign == "in" else (*a.values, *b.values)
    same = comparable(condition, columns)
    return Sql(f"(CASE WHEN {same.text} THEN {comparison} END)", (*same.values, *in_order))


def comparable(predicate: Predicate, columns: Mapping[str, str]) -> Sql:
    """Return whether the operands of a predicate have types that it can compare, as SQL."""
    kinds = [
        f"'{_SQL_KINDS[type(operand.literal)]}'"
        if operand.field is None
        else f"replace(typeof({columns[operand.field]}), 'integer', 'real')"
        for operand in predicate.operands
    ]
    text = f"{kinds[0]} = {kinds[1]}"
    if predicate.need is not None:
        text += f" AND {kinds[0]} = '{_SQL_KINDS[predicate.need]}'"
    return Sql(text)


def _nearest_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def sql_kind(value: Scalar | None) -> str:
    """Return SQLite's name of the type of a value in the index."""
    return "null" if value is None else _SQL_KINDS[type(value)]


def fields_of(condition: Condition) -> list[str]:
    """Return the fields that a condition names."""
    operands = (operand for predicate in predicates(condition) for operand in predicate.operands)
    return list(dict.fromkeys(operand.field for operand in operands if operand.field is not None))


def mismatch(predicate: Predicate, values: tuple[Scalar, Scalar]) -> CallError:
    """Return the error for a predicate that cannot compare the values of its operands."""
    (left, right), (a, b) = predicate.operands, values
    problem = f"{left.described(a)} cannot be compared with {right.described(b)}"
    if predicate.need is bool:
        problem = f"{left.field} is {_KINDS[type(a)]}, expected a comparison with it"
    elif predicate.need is str:
        problem = f"`in` looks for a text in a text or in a list: {problem}"
    return CallError(problem, location=LOCATION)


def _joined(parts: Sequence[Sql], word: str) -> Sql:
    """Return expressions joined by AND or OR, nested little, because SQLite limits the depth."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return Sql("1" if word == "AND" else "0")
    half = len(parts) // 2
    left, right = _joined(parts[:half], word), _joined(parts[half:], word)
    return Sql(f"({left.text} {word} {right.text})", (*left.values, *right.values))


def _of_literals(predicate: Predicate) -> bool | None:
    a, b = predicate.left.literal, predicate.right.literal
    if a is None or b is None or _SQL_KINDS[type(a)] != _SQL_KINDS[type(b)]:
        return None
    if predicate.need is not None and not isinstance(a, predicate.need):
        return None
    return _OF_LITERALS[predicate.sign](a, b)


def _operand_sql(operand: Operand, columns: Mapping[str, str]) -> Sql:
    if operand.field is not None:
        return Sql(columns[operand.field])
    value = operand.literal
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**63:
        value = _nearest_float(value)
    return Sql("?", (None if value is None else sql_value(value),))


def parse(condition: str, known: Collection[str]) -> Condition:
    """Return a condition as a tree.

    Args:
        condition: The condition.
        known: The names of all fields.

    Raises:
        CallError: If it is not a condition, or names an unknown field.
    """
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
        reason = (
            error.msg if isinstance(error, SyntaxError) else "it contains bytes that are not text"
        )
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
    return Predicate(sign="=", left=_operand(node, known), right=Operand(None, True), need=bool)


def _predicate(
    sign: ast.cmpop, left: ast.expr, *, right: ast.expr, known: frozenset[str]
) -> Condition:
    if type(sign) in _OPERATORS:
        return Predicate(
            sign=_OPERATORS[type(sign)],
            left=_operand(left, known),
            right=_operand(right, known),
        )
    if not isinstance(sign, (ast.In, ast.NotIn)):
        raise CallError("contains `is`", location=LOCATION, remedy="use == instead")
    member = _operand(left, known)
    inside: Condition
    if isinstance(right, (ast.Tuple, ast.List)):
        options = [_operand(option, known) for option in right.elts]
        inside = Combination(
            [Predicate(sign="=", left=member, right=option) for option in options],
            any=True,
        )
    else:
        inside = Predicate(sign="in", left=member, right=_operand(right, known), need=str)
    return inside if isinstance(sign, ast.In) else Negation(inside)


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
    return CallError(f"contains {what}", location=LOCATION, remedy=_EXPECTED)


def predicates(condition: Condition) -> Iterator[Predicate]:
    """Yield the predicates in a condition."""
    if isinstance(condition, Predicate):
        yield condition
    else:
        parts = [condition.part] if isinstance(condition, Negation) else condition.parts
        for part in parts:
            yield from predicates(part)
