"""The public names: one list, the same for type checkers, each documented in docs/api.md."""

import ast
import re
import sys

import pytest

import artifact_pipeline
from tests.support.command import script
from tests.support.configs import ROOT

PAGE = (ROOT / "docs" / "api.md").read_text("utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_every_public_name_is_documented_and_no_other():
    cells = [row.split(" | ")[0] for row in PAGE.splitlines() if row.startswith("| `")]
    named = [name for cell in cells for name in re.findall(r"`(\w+)", cell)]
    assert sorted(named) == artifact_pipeline.__all__


def test_type_checkers_see_the_names_that_exist():
    tree = ast.parse((ROOT / "src" / "artifact_pipeline" / "__init__.py").read_text("utf-8"))
    [block] = [
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    imports = {
        alias.asname: f"artifact_pipeline.{artifact_pipeline._EXPORTS[alias.name]}"
        for node in block.body
        for alias in node.names
        if node.module == f"artifact_pipeline.{artifact_pipeline._EXPORTS[alias.name]}"
    }
    assert sorted(imports) == artifact_pipeline.__all__
    for name, module in imports.items():
        assert getattr(artifact_pipeline, name) is getattr(sys.modules[module], name)


@pytest.mark.parametrize("code", [code for code in EXAMPLES if "signed_by" not in code])
def test_the_examples_run(project, code):
    done = script("-c", code, cwd=project)
    assert done.code == 0, done.err
