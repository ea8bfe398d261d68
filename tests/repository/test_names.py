"""Names in the package: one class for each."""

import ast
from collections import defaultdict

from tests.support.configs import ROOT


def test_no_two_classes_of_the_package_have_one_name():
    places = defaultdict(list)
    for path in sorted((ROOT / "src" / "artifact_pipeline").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert {name: where for name, where in places.items() if len(where) > 1} == {}
