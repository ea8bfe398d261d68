"""Completion: the scripts of shells, and what they complete."""

import shutil
import subprocess

import pytest

from tests.support.command import call
from tests.support.configs import write


@pytest.fixture
def project(project, digits):
    """A project with the digits artifact in its store."""
    shutil.copytree(digits.store, project / "artifacts")
    return project


def completed(line, project):
    """Return what bash is told to complete for a line, by kind."""
    words = line.split(" ")
    env = {"_ARTIFACT_PIPELINE_COMPLETE": "bash_complete", "COMP_WORDS": line,
           "COMP_CWORD": str(len(words) - 1)}  # fmt: skip
    done = call(cwd=project, env=env)
    assert done.code == 0 and done.err == ""
    return [tuple(entry.split(",", 1)) for entry in done.out.split()]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_is_valid(project, shell):
    done = call("completion", shell, cwd=project)
    assert done.code == 0 and "artifact-pipeline" in done.out
    if shutil.which(shell):
        path = write(project, done.out, f"complete.{shell}")
        assert subprocess.run([shell, "-n", path], check=False).returncode == 0


def test_commands_and_options_are_completed(project):
    assert completed("artifact-pipeline ver", project) == [("plain", "verify")]
    assert completed("artifact-pipeline infer latest --out", project) == [("plain", "--output")]


@pytest.mark.slow
def test_aliases_and_digests_are_completed(project, digits):
    short = ("plain", digits.digest[7:19])
    assert completed("artifact-pipeline show ", project) == [
        ("plain", "latest"), ("plain", "digits@latest"), short
    ]  # fmt: skip
    assert completed("artifact-pipeline show digits:", project) == [("plain", "digits:1")]
    assert completed("artifact-pipeline history dig", project) == [
        ("plain", "digits"), ("plain", "digits@latest")
    ]  # fmt: skip
    assert completed(f"artifact-pipeline show {short[1][:3]}", project) == [short]
    assert completed("artifact-pipeline verify latest --digest ", project) == [
        ("plain", digits.digest)
    ]
    assert completed("artifact-pipeline serve digits=la", project) == [("plain", "digits=latest")]
    assert completed("artifact-pipeline promote latest --as l", project) == [("plain", "latest")]
    words = "artifact-pipeline push latest file:///x --tag l"
    assert completed(words, project) == [("plain", "latest")]


def test_the_store_that_is_named_is_completed_from(project, tmp_path):
    shutil.move(project / "artifacts", project / "elsewhere")
    assert completed("artifact-pipeline show --store elsewhere la", project) == [
        ("plain", "latest")
    ]
    assert completed("artifact-pipeline show la", project) == [("dir", "la")]


def test_files_folders_and_columns_are_completed(project):
    write(project, "age;plan;left\n1;a;no\n", "t.csv")
    assert completed("artifact-pipeline run con", project) == [("file", "con")]
    assert completed("artifact-pipeline list --store ar", project) == [("dir", "ar")]
    assert completed("artifact-pipeline init t.csv --target ", project) == [
        ("plain", "age"), ("plain", "plan"), ("plain", "left")
    ]  # fmt: skip


def test_a_broken_store_completes_no_alias_and_prints_no_error(project):
    shutil.rmtree(project / "artifacts")
    (project / "artifacts").write_text("not a folder")
    assert completed("artifact-pipeline show la", project) == [("dir", "la")]
