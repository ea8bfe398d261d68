"""The wheel: it installs, and has types and metadata."""

import email
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from tests.support.configs import QUICK, ROOT, write


def built(target, folder):
    """Build `target` with the backend that pyproject.toml names, as `python -m build` does."""
    pytest.importorskip("hatchling", reason="requirements-dev.txt is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", folder],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    [file] = folder.iterdir()
    return file


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return built("wheel", tmp_path_factory.mktemp("wheel"))


def test_the_wheel_holds_only_the_package_and_its_types(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert "artifact_pipeline/py.typed" in names
    assert "artifact_pipeline/builder/formats/onnx_format.py" in names
    assert {name.split("/")[0] for name in names} == {
        "artifact_pipeline",
        "artifact_pipeline-0.1.0.dist-info",
    }


def test_the_metadata_is_complete(wheel):
    files = zipfile.ZipFile(wheel)
    text = files.read("artifact_pipeline-0.1.0.dist-info/METADATA").decode()
    metadata = email.message_from_string(text)
    assert metadata["Name"] == "artifact-pipeline" and metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "MIT" and metadata["License-File"] == "LICENSE"
    assert metadata["Summary"] and metadata["Keywords"]
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_payload().startswith("# ")
    requires = [
        line.split(";")[0].split(">")[0].strip() for line in metadata.get_all("Requires-Dist")
    ]
    assert {"click", "msgspec", "scikit-learn", "onnxruntime", "skl2onnx"} <= set(requires)
    urls = dict(url.split(", ") for url in metadata.get_all("Project-URL"))
    assert {"Homepage", "Documentation", "Changelog", "Issues", "Source"} <= set(urls)


def test_links_and_pictures_of_the_readme_work_on_an_index_page(wheel):
    files = zipfile.ZipFile(wheel)
    metadata = files.read("artifact_pipeline-0.1.0.dist-info/METADATA").decode()
    source = dict(
        url.split(", ") for url in email.message_from_string(metadata).get_all("Project-URL")
    )["Source"]
    pages = f"{source}/blob/main/"
    pictures = source.replace("github.com", "raw.githubusercontent.com") + "/main/"

    def targets(text):
        return re.findall(r"\]\(([^)]+)\)", text)

    readme = targets((ROOT / "README.md").read_text("utf-8"))
    assert any(target.endswith(".png") for target in readme)
    absolute = [
        target if re.match(r"\w+:|#", target)
        else (pictures if target.endswith(".png") else pages) + target
        for target in readme
    ]  # fmt: skip
    assert targets(metadata) == absolute


@pytest.mark.slow
def test_twine_accepts_the_wheel_and_the_source_archive(wheel, tmp_path):
    archive = built("sdist", tmp_path / "sdist")
    done = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", wheel, archive],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout.count("PASSED") == 2, done.stdout + done.stderr
    with tarfile.open(archive) as opened:
        inside = opened.getnames()
    assert "artifact_pipeline-0.1.0/src/artifact_pipeline/py.typed" in inside
    assert not [name for name in inside if "__pycache__" in name or "artifacts/" in name]


@pytest.mark.slow
def test_the_installed_command_runs_the_pipeline(wheel, tmp_path):
    """In an environment of its own, which borrows the libraries of this one."""
    venv.create(tmp_path / "venv", with_pip=False)
    scripts = "Scripts" if os.name == "nt" else "bin"
    python = tmp_path / "venv" / scripts / "python"
    purelib = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True, check=True, text=True,
    ).stdout.strip()  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps",
         "--no-index", str(wheel)], capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    Path(purelib, "libraries.pth").write_text(sysconfig.get_path("purelib"))
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = tmp_path / "venv" / scripts / "artifact-pipeline"
    done = subprocess.run(
        [command, "run", write(tmp_path, QUICK), "--json"], cwd=tmp_path, env=env,
        capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    where = subprocess.run(
        [python, "-c", "import artifact_pipeline; print(artifact_pipeline.__file__)"],
        env=env, cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert purelib in where.stdout


@pytest.mark.slow
def test_type_checkers_find_the_types(wheel, tmp_path):
    (tmp_path / "use.py").write_text(
        "import artifact_pipeline as ap\n"
        "run = ap.train('config.json')\n"
        "digest: str = run.digest\n"
        "manifest: ap.Manifest = ap.open_trusted(run.artifact, digest).manifest\n"
        "predictor: ap.Predictor = ap.open_artifact('latest')\n"
        "ap.train(3)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "use.py"], cwd=tmp_path, text=True,
        env={**os.environ, "MYPYPATH": str(ROOT / "src")}, capture_output=True,
    )  # fmt: skip
    errors = [line for line in done.stdout.splitlines() if line.startswith("use.py")]
    assert len(errors) == 1 and errors[0].startswith("use.py:6: error: Argument 1")
