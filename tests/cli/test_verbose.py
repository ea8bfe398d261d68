"""`--verbose` and its environment variable: steps and timings, and the traceback of an error."""

import json
import shutil

import click
import pytest

from artifact_pipeline.cli.commands import group
from tests.support.command import call, script
from tests.support.configs import QUICK, write

VERBOSE = {"ARTIFACT_PIPELINE_VERBOSE": "1"}


@pytest.fixture
def project(project, digits):
    """A project with the digits artifact in its store."""
    shutil.copytree(digits.store, project / "artifacts")
    return project


@pytest.mark.parametrize("name", group.list_commands(click.Context(group)))
def test_every_command_takes_it(name):
    command = group.get_command(click.Context(group), name)
    options = [option for parameter in command.params for option in parameter.opts]
    assert "-v" in options and "--verbose" in options


@pytest.mark.parametrize(
    ("words", "env"),
    [
        (["verify", "latest", "-v"], None),
        (["verify", "latest", "--verbose"], None),
        (["-v", "verify", "latest"], None),
        (["verify", "latest"], VERBOSE),
    ],
)
def test_steps_and_timings_are_on_standard_error(project, digits, words, env):
    done = call(*words, cwd=project, env=env)
    assert done.code == 0 and done.out == call("verify", "latest", cwd=project).out
    assert f"verified artifacts/{digits.digest[7:]}" in done.err and " ms" in done.err


@pytest.mark.slow
@pytest.mark.parametrize("env", [{}, {"ARTIFACT_PIPELINE_VERBOSE": "0"}])
def test_without_it_standard_error_is_empty(project, env):
    assert call("run", cwd=project, env=env).err == ""


@pytest.mark.slow
def test_the_steps_of_the_trainer_process_are_among_them(project):
    done = call("train", write(project, QUICK), "-v", "--json", cwd=project)
    assert done.code == 0 and json.loads(done.out)["digest"]
    assert "trainer: fit the model: " in done.err and "trainer: exported onnx" in done.err
    assert "train, prove and seal the model: " in done.err


def test_an_error_has_its_traceback_and_ends_in_the_same_line(project):
    quiet = call("run", "none.json", cwd=project)
    done = call("run", "none.json", "-v", cwd=project)
    assert done.code == 2 and quiet.err.splitlines() == done.err.splitlines()[-1:]
    assert "Traceback (most recent call last):" in done.err and "source.py" in done.err
    assert "Traceback" not in quiet.err


@pytest.mark.slow
def test_an_error_in_the_trainer_process_has_the_traceback_of_that_process(project):
    model = {"estimator": "sklearn.linear_model.LogisticRegression", "params": {"C": -1.0}}
    done = call("run", write(project, {**QUICK, "model": model}), "-v", "--json", cwd=project)
    assert done.code == 2 and done.json["error"]["kind"] == "config"
    assert "In the trainer process:" in done.err and "worker.py" in done.err


def test_a_log_starts_no_workflow_command(project):
    done = call("run", "a\n::error::x.json", "-v", cwd=project, env={"GITHUB_ACTIONS": "true"})
    lines = [line for line in done.err.splitlines() if line.lstrip().startswith("::")]
    assert len(lines) == 1 and lines[0].startswith("::error title=artifact-pipeline")


def test_a_program_gets_the_log_as_it_gets_that_of_other_libraries(project):
    code = (
        "import logging; logging.basicConfig(level=logging.DEBUG)\n"
        "import artifact_pipeline; artifact_pipeline.show('latest')"
    )
    done = script("-c", code, cwd=project)
    assert done.code == 0 and "DEBUG:artifact_pipeline.verification.verify:verified" in done.err
