"""The public names: one list, the same for type checkers, each documented in docs/api.md."""

import ast
import re
import shutil
import sys

import pytest

import artifact_pipeline
from tests.support.command import script
from tests.support.configs import ROOT, write
from tests.support.remotes import certificates as tls_certificates

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


def test_every_public_name_is_used_in_an_example():
    trees = [ast.parse(code) for code in EXAMPLES]
    used = {node.id for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert set(artifact_pipeline.__all__) <= used


@pytest.mark.slow
def test_the_examples_run_one_after_the_other(project, keys):
    for name in ("model.pem", "model.pub"):
        shutil.copy(keys / name.replace("model", "ours"), project / name)
    shutil.copy(tls_certificates(project).authority, project / "ca.pem")
    rows = "".join(f"{i % 7},{'ab'[i % 2]},{'yes' if i % 3 else 'no'}\n" for i in range(90))
    write(project, f"age,plan,left\n{rows}", "customers.csv")
    # Not the main module: the example of `serve` would not end.
    path = write(project, "\n".join(EXAMPLES), "examples.py")
    done = script("-c", "import examples", cwd=path.parent)
    assert done.code == 0, done.err
    assert "identical" in done.out and (project / "report.html").is_file()
