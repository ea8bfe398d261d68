"""Parameters of scikit-learn that open files, run code, or pass arguments to such functions.

A config may be untrusted, so `check` allows only values that compute. It decides by the
parameter's name, which has the same meaning in every estimator. A test fails when scikit-learn
adds a parameter that could do more than compute and has no rule here.

>>> check("reduce__memory", "cache", location=Location(key="model.params.reduce__memory"))
Traceback (most recent call last):
    ...
artifact_pipeline.errors.ConfigError: model.params.reduce__memory: found 'cache', expected null: \
scikit-learn unpickles the files in that folder
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from artifact_pipeline.builder.config.messages import show
from artifact_pipeline.errors import ConfigError, Location

GRIDS = ("param_grid", "param_distributions")
"""The parameters of a nested search that contain values for other parameters."""
KERNELS = ("kernel", "kernels", "k1", "k2")
"""The parameters that take a Gaussian process kernel, the only callable object in a config."""

FUNCTION_PARAMETERS = ("func", "inverse_func")
"""The parameters that take the name of one of `FUNCTIONS`."""
FUNCTIONS = frozenset(
    f"{module}.{name}"
    for module, names in {
        "numpy": (
            "absolute arccos arccosh arcsin arcsinh arctan arctanh cbrt ceil cos cosh deg2rad exp "
            "exp2 expm1 fabs floor log log10 log1p log2 negative rad2deg reciprocal rint sign sin "
            "sinh sqrt square tan tanh trunc"
        ),
        "scipy.special": "erf exp10 expit expm1 gammaln log1p logit",
    }.items()
    for name in names.split()
)
"""Functions that only compute, element by element."""

_METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function")
# These are the options in
# https://docs.scipy.org/doc/scipy/reference/optimize.linprog-highs.html. HiGHS has others, which
# write its log, model and solution to any path.
_SOLVER_OPTIONS = frozenset({
    "disp",
    "dual_feasibility_tolerance",
    "ipm_optimality_tolerance",
    "maxiter",
    "presolve",
    "primal_feasibility_tolerance",
    "simplex_dual_edge_weight_strategy",
    "time_limit",
})  # fmt: skip


class _Rule(NamedTuple):
    allows: Callable[[Any], bool]
    expected: str
    reason: str


def check(name: str, value: Any, *, location: Location) -> None:
    """Check that a parameter with a value from JSON only computes.

    Args:
        name: The parameter's name, or a path as in `set_params`, whose last part decides.
        value: Its value.
        location: Its location in the config.

    Raises:
        ConfigError: If it could do more.
    """
    name = name.rpartition("__")[2]
    rule = RULES.get(name)
    if rule and not rule.allows(value):
        raise ConfigError(
            f"found {_quoted(value)}, expected {rule.expected}: {rule.reason}", location=location
        )
    if name in GRIDS:
        for inner, candidates in _entries(value):
            for candidate in candidates if isinstance(candidates, list) else [candidates]:
                check(inner, candidate, location=location.inside(inner))


def check_not_callable(name: str, value: Any, *, location: Location) -> None:
    """Check that the object to pass for a parameter cannot be called, if only data is expected.

    Args:
        name: As for `check`.
        value: The object that the estimator receives.
        location: As for `check`.

    Raises:
        ConfigError: If it could be called.
    """
    name = name.rpartition("__")[2]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for element in value:
            check_not_callable(name, element, location=location)
    elif callable(value) and name not in (*KERNELS, *FUNCTION_PARAMETERS):
        raise ConfigError(
            f"found a {type(value).__name__}, which scikit-learn would call",
            location=location,
            remedy=f"{name!r} does not accept a kernel",
        )


def check_fitted(parameters: dict[str, Any]) -> str | None:
    """Return why an estimator with these parameters cannot be sealed, or None.

    Its owner has run it already, so only parameters that would open files for users are refused.

    Args:
        parameters: The `get_params(deep=False)` of a fitted estimator.
    """
    for name in ("memory", "input"):
        if name in parameters and not RULES[name].allows(parameters[name]):
            rule = RULES[name]
            return f"has {name}={show(parameters[name])}, expected {rule.expected}: {rule.reason}"
    return None


def _quoted(value: Any) -> str:
    """Quote a value for a message; unlike `show`, a list or an object with its content."""
    if not isinstance(value, (dict, list)):
        return show(value)
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the parameters of a grid: an object, a list of pairs that becomes one, or several."""
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list):
        for entry in value:
            if isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str):
                yield entry[0], entry[1]
            else:
                yield from _entries(entry)


def _is_null(value: Any) -> bool:
    return value is None


def _is_empty(value: Any) -> bool:
    return value is None or value == {}


def _is_text(pattern: str) -> Callable[[Any], bool]:
    """Return a test that a text matches a pattern; it accepts all other values."""
    return lambda value: not isinstance(value, str) or bool(re.fullmatch(pattern, value))


def _are_methods(value: Any) -> bool:
    return all(name in _METHODS for name in (value if isinstance(value, list) else [value]))


def _are_solver_options(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(entry, list) for entry in value) and _are_solver_options(
            dict(_entries(value))
        )
    return value is None or (isinstance(value, dict) and value.keys() <= _SOLVER_OPTIONS)


def _are_numbers(value: Any) -> bool:
    """Return whether all arguments for a function are numbers, booleans, null or lists of them."""
    if isinstance(value, dict):
        return all(_holds_numbers(argument) for argument in value.values())
    return value is None or (
        isinstance(value, list)
        and all(
            isinstance(entry, list) and len(entry) == 2 and _holds_numbers(entry[1])
            for entry in value
        )
    )


def _holds_numbers(value: Any) -> bool:
    if isinstance(value, list):
        return all(_holds_numbers(element) for element in value)
    return value is None or isinstance(value, (bool, int, float))


def _is_function(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value in FUNCTIONS)


_FUNCTION = _Rule(
    _is_function,
    "null or the name of an elementwise function such as 'numpy.log1p'",
    "it is called; docs/config.md lists the names",
)
_ARGUMENTS = _Rule(_is_empty, "null", "they are the arguments of a function")
_NUMBERS = _Rule(
    _are_numbers,
    "an object of numbers",
    "they are the arguments of a function that computes with numbers only",
)
RULES: dict[str, _Rule] = {
    "memory": _Rule(_is_null, "null", "scikit-learn unpickles the files in that folder"),
    "input": _Rule(
        lambda value: value == "content",
        "'content'",
        "scikit-learn reads the files that the rows name",
    ),
    "func": _FUNCTION,
    "inverse_func": _FUNCTION,
    "callback": _Rule(_is_null, "null", "it would be called"),
    "kw_args": _ARGUMENTS,
    "inv_kw_args": _ARGUMENTS,
    "fun_args": _NUMBERS,
    "kernel_params": _NUMBERS,
    "metric_params": _NUMBERS,
    "pairwise_kernels_kwargs": _NUMBERS,
    "solver_options": _Rule(
        _are_solver_options,
        f"an object with keys among {', '.join(sorted(_SOLVER_OPTIONS))}",
        "other options of the solver write files",
    ),
    "pre_dispatch": _Rule(
        _is_text(r"all|(\d{1,3}\*)?n_jobs"),
        "a number, 'all', or a multiple such as '2*n_jobs'",
        "joblib evaluates the text",
    ),
    "importance_getter": _Rule(
        _is_text(r"[A-Za-z]\w*(\.[A-Za-z]\w*)*"),
        "'auto', or public names joined by dots",
        "it could read any attribute",
    ),
    "chain_method": _Rule(
        _are_methods, f"one of {', '.join(_METHODS)}, or a list of them", "it is called"
    ),
    "verbose_feature_names_out": _Rule(
        _is_text(r"([^{}]|\{(transformer_name|feature_name)\}|\{\{|\}\})*"),
        "true, false, or text with {transformer_name} and {feature_name}",
        "a field of a format string could read any attribute",
    ),
}
"""The rules by parameter name. All other parameters only compute."""
