"""The parameters of scikit-learn that open files, run code, or hand arguments to such functions.

A config may come from a stranger, so `check` allows only values that compute. It decides by the
parameter's name, which means the same in every estimator. `builder/model/test_parameters.py` fails
when scikit-learn adds a parameter that could do more than compute and nobody has looked at.

>>> check("reduce__memory", "cache", "model.params.reduce__memory")
Traceback (most recent call last):
    ...
artifact_pipeline.errors.ConfigError: model.params.reduce__memory: found 'cache', expected null: \
scikit-learn unpickles whatever that folder holds
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from artifact_pipeline.builder.config.messages import show
from artifact_pipeline.errors import ConfigError

GRIDS = ("param_grid", "param_distributions")
"""Parameters of a nested search, which hold lists of values for other parameters."""
KERNELS = ("kernel", "kernels", "k1", "k2")
"""The parameters that take a Gaussian process kernel, the only callable that a config can name."""

FUNCTION_PARAMETERS = ("func", "inverse_func")
"""The parameters that take one of `FUNCTIONS` by its name."""
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
"""Functions that compute elementwise, and do nothing else."""

_METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function")
# HiGHS knows other options that write its log, its model and its solution to any path:
# https://docs.scipy.org/doc/scipy/reference/optimize.linprog-highs.html lists these.
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


def check(name: str, value: Any, where: str) -> None:
    """Refuse a value, as JSON gives it, with which a parameter would do more than compute.

    `name` may be a path as `set_params` takes it; its last part decides.

    Raises:
        ConfigError: naming the place, what is allowed there, and why.
    """
    name = name.rpartition("__")[2]
    rule = RULES.get(name)
    if rule and not rule.allows(value):
        raise ConfigError(
            f"found {_quoted(value)}, expected {rule.expected}: {rule.reason}", where=where
        )
    if name in GRIDS:
        for inner, candidates in _entries(value):
            for one in candidates if isinstance(candidates, list) else [candidates]:
                check(inner, one, f"{where}.{inner}")


def check_made(name: str, value: Any, where: str) -> None:
    """Refuse a value, as an estimator gets it, that could be called. Raises as `check`."""
    name = name.rpartition("__")[2]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for one in value:
            check_made(name, one, where)
    elif callable(value) and name not in (*KERNELS, *FUNCTION_PARAMETERS):
        raise ConfigError(
            f"found a {type(value).__name__}, which scikit-learn would call; "
            f"{name!r} takes no kernel",
            where=where,
        )


def check_fitted(parameters: dict[str, Any]) -> str | None:
    """Return why an estimator with these parameters must not be sealed, or None if it may.

    Its owner has run it already, so only what would open files for others is refused.
    """
    for name in ("memory", "input"):
        if name in parameters and not RULES[name].allows(parameters[name]):
            rule = RULES[name]
            return f"has {name}={show(parameters[name])}, expected {rule.expected}: {rule.reason}"
    return None


def _quoted(value: Any) -> str:
    """Return a list or an object with its content: its kind alone would not tell what is wrong."""
    if not isinstance(value, (dict, list)):
        return show(value)
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the parameters in a grid: an object, a list of pairs that becomes one, or several."""
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list):
        for one in value:
            if isinstance(one, list) and len(one) == 2 and isinstance(one[0], str):
                yield one[0], one[1]
            else:
                yield from _entries(one)


def _is_null(value: Any) -> bool:
    return value is None


def _is_empty(value: Any) -> bool:
    return value is None or value == {}


def _is_text(pattern: str) -> Callable[[Any], bool]:
    """Return a test that lets any value but a text pass, and a text of that pattern."""
    return lambda value: not isinstance(value, str) or bool(re.fullmatch(pattern, value))


def _are_methods(value: Any) -> bool:
    return all(one in _METHODS for one in (value if isinstance(value, list) else [value]))


def _are_solver_options(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(one, list) for one in value) and _are_solver_options(
            dict(_entries(value))
        )
    return value is None or (isinstance(value, dict) and value.keys() <= _SOLVER_OPTIONS)


def _are_numbers(value: Any) -> bool:
    """Return whether arguments for a function are numbers, booleans, null, and lists of them."""
    if isinstance(value, dict):
        return all(_holds_numbers(one) for one in value.values())
    return value is None or (
        isinstance(value, list)
        and all(isinstance(one, list) and len(one) == 2 and _holds_numbers(one[1]) for one in value)
    )


def _holds_numbers(value: Any) -> bool:
    if isinstance(value, list):
        return all(_holds_numbers(one) for one in value)
    return value is None or isinstance(value, (bool, int, float))


def _is_function(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value in FUNCTIONS)


_FUNCTION = _Rule(
    _is_function,
    "null or the name of an elementwise function such as 'numpy.log1p'",
    "it is called; docs/config.md lists the names",
)
_ARGUMENTS = _Rule(_is_empty, "null", "they are arguments of a function, and none is allowed")
_NUMBERS = _Rule(
    _are_numbers,
    "an object of numbers",
    "it is passed on as arguments of a function, which computes with numbers alone",
)
RULES: dict[str, _Rule] = {
    "memory": _Rule(_is_null, "null", "scikit-learn unpickles whatever that folder holds"),
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
        "the solver has other options that write files",
    ),
    "pre_dispatch": _Rule(
        _is_text(r"all|(\d{1,3}\*)?n_jobs"),
        "a number, 'all', or such as '2*n_jobs'",
        "joblib evaluates the text",
    ),
    "importance_getter": _Rule(
        _is_text(r"[A-Za-z]\w*(\.[A-Za-z]\w*)*"),
        "'auto', or public names joined by points",
        "any attribute could be read by it",
    ),
    "chain_method": _Rule(
        _are_methods, f"one of {', '.join(_METHODS)}, or a list of them", "it is called"
    ),
    "verbose_feature_names_out": _Rule(
        _is_text(r"([^{}]|\{(transformer_name|feature_name)\}|\{\{|\}\})*"),
        "true, false, or text with {transformer_name} and {feature_name}",
        "a field of a format could read any attribute",
    ),
}
"""What a parameter may be, by its name. All others compute with what they are given."""
