"""Calls in the package: after two positional arguments, and for large records, by keyword."""

import ast
from functools import cache

import pytest

from tests.support.configs import ROOT

SOURCES = sorted((ROOT / "src" / "artifact_pipeline").rglob("*.py"))
TREES = {str(path.relative_to(ROOT)): ast.parse(path.read_text("utf-8")) for path in SOURCES}

SIGNATURES_OF_OTHERS = {
    ("scope", "operator", "container"),  # a converter of skl2onnx
    ("scope", "receive", "send"),  # an ASGI application
    ("walk", "node", "inputs"),  # a rule of onnx_costs, held in a table by operator
}
"""The last parameters of functions that others call by position."""

LIKE_SCIKIT_LEARN = {"fit", "seal", "build_imported", "evaluate_model", "train_model"}
"""Functions that take an estimator, X and y, or X, y and a config, in this order."""

BEGINS_BY_POSITION = {"Location": 1}
"""Records whose first fields may be positional: a location is a file, and a place in it."""


def positional(function):
    names = [argument.arg for argument in function.args.posonlyargs + function.args.args]
    return names[1:] if names[:1] in (["self"], ["cls"], ["_cls"]) else names


def is_callback_of_click(function):
    arguments = function.args.args
    return bool(arguments) and ast.unparse(arguments[0]).endswith(": click.Context")


@cache
def records():
    """Return the number of fields of each Struct and NamedTuple in the package, by name."""
    return {
        node.name: sum(isinstance(statement, ast.AnnAssign) for statement in node.body)
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        and {ast.unparse(base) for base in node.bases} & {"Struct", "NamedTuple"}
    }


def names_of_others(path):
    """Return the names that a module imports from other packages."""
    return {
        name.name
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.ImportFrom) and not str(node.module).startswith("artifact_pipeline")
        for name in node.names
    }


@pytest.mark.parametrize("path", TREES)
def test_a_function_takes_keywords_after_its_second_parameter(path):
    functions = [
        (node.name, positional(node))
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and not is_callback_of_click(node)
    ]
    assert [
        (name, names)
        for name, names in functions
        if len(names) > 2
        and name not in LIKE_SCIKIT_LEARN
        and tuple(names[-3:]) not in SIGNATURES_OF_OTHERS
    ] == []


@pytest.mark.parametrize("path", TREES)
def test_a_record_of_more_than_three_fields_is_built_by_keyword(path):
    large = {name for name, fields in records().items() if fields > 3} - names_of_others(path)
    calls = [
        (ast.unparse(node.func).rpartition(".")[2], node)
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.Call)
    ]
    assert [
        f"line {call.lineno}: {ast.unparse(call)}"
        for name, call in calls
        if name in large and len(call.args) > BEGINS_BY_POSITION.get(name, 0)
    ] == []


def test_the_check_sees_functions_and_records():
    assert positional(ast.parse("def f(self, a, b, c, *, d): ...").body[0]) == ["a", "b", "c"]
    assert records()["Plan"] == 8
