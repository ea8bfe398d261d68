"""The examples in docstrings."""

import doctest
import importlib
import pkgutil

import pytest

import artifact_pipeline

MODULES = [
    info.name
    for info in pkgutil.walk_packages(artifact_pipeline.__path__, "artifact_pipeline.")
    if not info.name.endswith("__main__")
]


@pytest.mark.parametrize("name", MODULES)
def test_doctests_pass(name):
    flags = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
    assert doctest.testmod(importlib.import_module(name), optionflags=flags).failed == 0


def test_doctests_are_found():
    found = sum(
        doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS).attempted
        for name in MODULES
        if name != "artifact_pipeline.builder.artifact.manifest"
    )
    assert found >= 25
