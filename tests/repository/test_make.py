"""make.py: its requirements, and its messages if they are missing."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.configs import ROOT

REQUIREMENTS = tuple(
    f"requirements{kind}.txt"
    for kind in ("", "-build", "-sign", "-serve", "-remote", "-mlflow", "-dev")
)


def test_make_is_short_and_imports_only_the_standard_library():
    source = (ROOT / "make.py").read_text("utf-8")
    assert len(source.splitlines()) < 120
    for node in ast.walk(ast.parse(source)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert all(name.split(".")[0] in sys.stdlib_module_names for name in names)


@pytest.mark.parametrize("words", [[], ["nope"], ["run", "test"], ["run", "--slow"], ["--help"]])
def test_a_usage_error_prints_one_line(words):
    done = subprocess.run([sys.executable, ROOT / "make.py", *words], capture_output=True)
    assert done.returncode == 1
    assert done.stderr.decode().strip() == "usage: python make.py run | test [--slow] | check"


@pytest.mark.slow
def test_an_older_python_gets_a_remedy():
    """The source as an older Python meets it: nothing before the check may need a newer one."""
    source = (ROOT / "make.py").read_text("utf-8")
    body = ast.parse(source, feature_version=(3, 7)).body
    guard = next(i for i, node in enumerate(body) if isinstance(node, ast.If))
    assert all(isinstance(node, (ast.Expr, ast.Import)) for node in body[:guard])
    assert "version_info < (3, 11)" in ast.unparse(body[guard].test)
    found = [name for minor in range(6, 11) if (name := shutil.which(f"python3.{minor}"))]
    for old in found:
        done = subprocess.run([old, ROOT / "make.py", "run"], capture_output=True)
        if b"needs Python" not in done.stderr:
            continue  # a name without a Python behind it
        assert done.returncode == 1 and done.stderr.count(b"\n") == 1


def test_a_python_without_venv_gets_a_remedy(tmp_path):
    for name in ("make.py", "pyproject.toml", *REQUIREMENTS):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "venv.py").write_text("raise ImportError('no venv')")
    done = subprocess.run([sys.executable, "make.py", "run"], cwd=tmp_path, capture_output=True)
    assert done.returncode == 1
    assert b"has no working venv module" in done.stderr and b"Traceback" not in done.stderr


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_requirements_are_pinned_hashed_and_name_no_index(name):
    text = (ROOT / name).read_text("utf-8")
    assert "://" not in text and "--index" not in text and "--find-links" not in text
    pins = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert pins
    for pin in pins:
        assert "==" in pin and pin.endswith("\\")
    assert text.count("--hash=sha256:") >= len(pins)


def test_the_test_environment_pins_what_the_run_environment_pins():
    def pins(name):
        lines = (ROOT / name).read_text("utf-8").splitlines()
        return {line.rstrip(" \\") for line in lines if line and not line.startswith((" ", "#"))}

    assert pins("requirements.txt") <= pins("requirements-sign.txt")
    assert pins("requirements.txt") <= pins("requirements-serve.txt")
    assert pins("requirements.txt") <= pins("requirements-remote.txt")
    assert pins("requirements.txt") <= pins("requirements-mlflow.txt")
    assert pins("requirements.txt") <= pins("requirements-huggingface.txt")
    # Other packages of the development environment need some of these on more systems.
    versions = {pin.partition(" ;")[0] for pin in pins("requirements-huggingface.txt")}
    assert versions <= {pin.partition(" ;")[0] for pin in pins("requirements-dev.txt")}
    assert pins("requirements-serve.txt") <= pins("requirements-dev.txt")
    assert pins("requirements-remote.txt") <= pins("requirements-dev.txt")
    assert pins("requirements.txt") <= pins("requirements-dask.txt")
    assert pins("requirements-dask.txt") <= pins("requirements-dev.txt")
    assert pins("requirements-sign.txt") <= pins("requirements-dev.txt")
    assert pins("requirements-build.txt") <= pins("requirements-dev.txt")


def test_the_pins_cover_all_platforms():
    """Wheels of the compiled packages for Linux, macOS on arm64 and Windows are all hashed."""
    text = (ROOT / "requirements.txt").read_text("utf-8")
    block = text.partition("onnxruntime==")[2].partition("\n    #")[0]
    assert block.count("--hash") >= 6


@pytest.mark.slow
def test_an_up_to_date_environment_is_not_rebuilt():
    """In an environment that make.py made, a second call installs nothing."""
    # It would replace an environment that somebody else made.
    if Path(sys.prefix) != ROOT / ".venv" or not (ROOT / ".venv" / "test.stamp").exists():
        pytest.skip("this suite does not run in the environment of make.py")
    done = subprocess.run(
        [sys.executable, ROOT / "make.py", "run"], cwd=ROOT, capture_output=True,
        env={**os.environ, "ARTIFACT_PIPELINE_STORE": os.environ["HOME"] + "/store"},
    )  # fmt: skip
    assert done.returncode == 0 and b"installing" not in done.stderr
