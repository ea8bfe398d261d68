"""Types and rules that the sections of a config file share with their resolved forms."""

from typing import Annotated, Any, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct

Dataset: TypeAlias = Literal["breast_cancer", "diabetes", "digits", "iris", "wine"]
Kind: TypeAlias = Literal["number", "boolean", "date", "text"]
"""The type of a column's values."""
Thousands: TypeAlias = Literal[",", ".", " ", "'", "_"]
Decimal: TypeAlias = Literal[".", ","]
Method: TypeAlias = Literal["random", "group", "time", "column"]
"""The held-out rows: random ones, complete groups, the latest ones, or those set by a column."""
Seed: TypeAlias = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Folds: TypeAlias = Annotated[int, Meta(ge=2, le=100)]
Value: TypeAlias = bool | int | float | str
"""A class label, or a number."""
Name = Annotated[
    str,
    Meta(
        pattern="^[A-Za-z][A-Za-z0-9_-]*$", description="Unique, and without a double underscore."
    ),
]


class Csv(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The dialect of a CSV file."""

    delimiter: Annotated[
        str, Meta(pattern=r'^[^\r\n"]$', description="Character between two cells.")
    ] = ","
    decimal: Annotated[Decimal, Meta(description="Decimal mark of numbers.")] = "."
    encoding: Annotated[str, Meta(description="Such as utf-8 or latin-1.")] = "utf-8"
    null_values: Annotated[
        list[str], Meta(description="Texts that mean a missing value, besides an empty cell.")
    ] = []


def is_given(section: Struct, key: str) -> bool:
    """Return whether a section has a value for an optional key."""
    value = getattr(section, key)
    return value is not UNSET and value is not None


def check_format(section: Any) -> None:
    """Check which keys of a column's format are given together, and its unit.

    Raises:
        ValueError: If keys are missing or exclude each other, or the unit is part of a number.
    """
    numeric = [is_given(section, key) for key in ("thousands", "decimal", "unit")]
    if is_given(section, "date") == any(numeric):
        raise ValueError("Expected either 'date', or 'thousands', 'decimal' or 'unit'")
    if is_given(section, "thousands") and section.thousands == section.decimal:
        raise ValueError("Expected different 'thousands' and 'decimal'")
    unit = section.unit
    if isinstance(unit, str) and (unit != unit.strip() or any(c in "0123456789+-" for c in unit)):
        raise ValueError("Expected a 'unit' without digits, signs or surrounding spaces")


def check_branch(section: Struct) -> None:
    """Check which keys of a branch are given together.

    Raises:
        ValueError: If keys are missing or exclude each other.
    """
    expect_one(section, "columns", second="column")
    expect_one(section, "estimator", second="steps")
    _expect_params_inside(section, "steps")


def check_step(section: Struct) -> None:
    """Check which keys of a step are given together.

    Raises:
        ValueError: If keys are missing or exclude each other.
    """
    expect_one(section, "estimator", second="branches")
    if is_given(section, "remainder") and not is_given(section, "branches"):
        raise ValueError("Expected 'remainder' beside 'branches'")
    _expect_params_inside(section, "branches")


def check_model(section: Struct) -> None:
    """Check which keys of a model are given together.

    Raises:
        ValueError: If keys are missing or exclude each other.
    """
    expect_one(section, "estimator", second="steps")
    _expect_params_inside(section, "steps")
    if is_given(section, "steps") and is_given(section, "preprocess"):
        raise ValueError("Expected 'preprocess' only with one estimator")


def expect_one(section: Struct, first: str, *, second: str) -> None:
    """Check that a section has exactly one of two keys.

    Raises:
        ValueError: If it has neither or both.
    """
    if is_given(section, first) == is_given(section, second):
        raise ValueError(f"Expected either {first!r} or {second!r}")


def _expect_params_inside(section: Struct, parts: str) -> None:
    if is_given(section, parts) and is_given(section, "params"):
        raise ValueError(f"Expected 'params' in the {parts}, not beside them")
