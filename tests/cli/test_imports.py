"""Import budgets of the commands and of the package."""

import importlib.util
import shutil

import pytest

from tests.support.command import call, script
from tests.support.configs import QUICK, write

HEAVY = {"numpy", "scipy", "sklearn", "onnxruntime", "onnx", "skl2onnx", "pandas", "joblib"}
OURS = "artifact_pipeline"
UNUSED = {"asyncio", "difflib", "logging", "shutil", "sqlite3", "zipfile"}
"""Modules of the standard library that take milliseconds to import, and that few commands need."""
OTHER_COMMANDS = {
    f"{OURS}.cli.{name}"
    for name in ("board", "comment", "export", "registry", "remote", "runs", "serve", "trust")
} | {f"{OURS}.store.promotion", "click.shell_completion"}
TRAINING = {f"{OURS}.builder.build", f"{OURS}.builder.training.trainer"}
PARSING = {f"{OURS}.builder.config.{name}" for name in ("loader", "schema", "checks", "defaults")}
OPENING = {f"{OURS}.inference.predictor", f"{OURS}.builder.formats.loader"}
PROVING = {
    f"{OURS}.builder.evaluation.edge_cases",
    f"{OURS}.builder.formats.onnx_converters",
    f"{OURS}.builder.formats.onnx_export",
    f"{OURS}.builder.formats.parity",
    f"{OURS}.builder.model.estimators",
}
CODE = """
import sys
from artifact_pipeline.cli import main
try:
    main({words!r})
except SystemExit as ended:
    assert not ended.code, ended.code
finally:
    sys.stderr.write("MODULES " + " ".join(sorted(sys.modules)))
"""


def imported(*words, cwd, stdin=b""):
    done = script("-c", CODE.format(words=[str(word) for word in words]), cwd=cwd, stdin=stdin)
    assert done.code == 0, done.err
    return set(done.err.rpartition("MODULES ")[2].split())


def test_the_modules_that_must_not_be_imported_exist():
    for name in UNUSED | OTHER_COMMANDS | TRAINING | PARSING | OPENING | PROVING:
        assert importlib.util.find_spec(name), name


def test_help_imports_no_heavy_package(project):
    assert not imported("--help", cwd=project) & HEAVY
    assert not imported("run", "--help", cwd=project) & HEAVY


def test_a_run_with_nothing_changed_imports_only_what_it_uses(project):
    path = write(project, QUICK)
    assert call("run", path, cwd=project).code == 0
    unneeded = HEAVY | UNUSED | OTHER_COMMANDS | TRAINING | PARSING | OPENING | PROVING
    assert not imported("run", path, cwd=project) & unneeded
    assert not imported("run", path, "--json", cwd=project) & unneeded


@pytest.mark.parametrize("words", [["verify", "latest"], ["show", "latest"], ["list"], ["recipe"],
                                   ["compare", "latest", "latest"], ["schema"]])  # fmt: skip
def test_reading_the_store_imports_no_heavy_package(project, digits, words):
    shutil.copytree(digits.store, project / "artifacts")
    assert not imported(*words, cwd=project) & HEAVY


def test_predicting_rows_imports_only_onnxruntime_and_numpy(project, digits):
    shutil.copytree(digits.store, project / "artifacts")
    row = ",".join(["0"] * 64).encode()
    names = imported("infer", "latest", "-", cwd=project, stdin=row)
    assert names & HEAVY == {"numpy", "onnxruntime"}
    unneeded = UNUSED | TRAINING | PARSING | PROVING | {"subprocess"}
    assert not names & unneeded


def test_importing_the_package_imports_nothing_else(project):
    code = "import sys, artifact_pipeline; print(*sorted(m.split('.')[0] for m in sys.modules))"
    found = set(script("-c", code, cwd=project).out.split())
    assert not found & (HEAVY | {"click", "msgspec"})


def test_the_package_exports_exactly_its_public_names(project):
    import artifact_pipeline

    assert sorted(dir(artifact_pipeline)) == sorted(artifact_pipeline.__all__)
    for name in artifact_pipeline.__all__:
        assert getattr(artifact_pipeline, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        artifact_pipeline.nope  # noqa: B018
