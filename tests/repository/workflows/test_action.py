"""The check of the action's paths, run as the step runs it."""

import os
import shutil
import subprocess
import sys

import pytest
from ruamel.yaml import YAML

import artifact_pipeline as api
from tests.support.configs import ROOT

STEPS = YAML(typ="safe").load(ROOT / "action.yml")["runs"]["steps"]
[CHECK] = [step["run"] for step in STEPS if step["name"] == "Check the paths"]
[PULL] = [step["run"] for step in STEPS if step["name"] == "Pull the champion"]
[PUSH] = [step["run"] for step in STEPS if step["name"] == "Push"]


def check(workspace, *, config="model.json", store="artifacts"):
    env = {**os.environ, "PYTHON": sys.executable, "GITHUB_WORKSPACE": str(workspace),
           "CONFIG": config, "STORE": store}  # fmt: skip
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", CHECK]
    return subprocess.run(command, cwd=workspace, env=env, capture_output=True, text=True)


@pytest.fixture
def workspace(tmp_path):
    folder = tmp_path / "a workspace"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("store", ["artifacts", "./artifacts", "a b/c", "ärtifacts", ".kept"])
def test_a_plain_path_inside_the_workspace_is_accepted(workspace, store):
    done = check(workspace, store=store)
    assert done.returncode == 0, done.stderr


def test_an_absolute_path_inside_the_workspace_is_accepted(workspace):
    done = check(workspace, config=f"{workspace}/model.json", store=f"{workspace}/artifacts")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["config", "store"])
@pytest.mark.parametrize("path", ["..", "../a workspace2", "/etc", ".", "", "x/../.."])
def test_a_path_outside_the_workspace_is_refused(workspace, name, path):
    done = check(workspace, **{name: path})
    assert done.returncode == 1
    assert done.stderr == f"::error::the {name} must be inside the workspace\n"


def test_a_link_out_of_the_workspace_is_refused(workspace, tmp_path):
    (workspace / "out").symlink_to(tmp_path)
    assert "inside the workspace" in check(workspace, store="out/store").stderr


@pytest.mark.parametrize(
    "store",
    ["a*", "a?", "[ab]", "a\n/etc", "!a", "#a", "~/a", " a", "a ", "b/../a", "b/./a", "a\\b"],
)
def test_a_store_that_the_cache_would_read_as_a_pattern_is_refused(workspace, store):
    done = check(workspace, store=store)
    assert done.returncode == 1
    assert done.stderr.startswith("::error::the store must be a plain path")


def remote_step(script, workspace, *, remote, **variables):
    env = {
        **os.environ, "PYTHON": sys.executable, "GITHUB_ACTION_PATH": str(ROOT),
        "STORE": "artifacts", "RUNNER_TEMP": str(workspace), "REMOTE": remote,
        "GITHUB_SHA": "c0ffee", **variables,
    }  # fmt: skip
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    return subprocess.run(command, cwd=workspace, env=env, capture_output=True, text=True)


@pytest.mark.slow
def test_the_champion_of_a_remote_outlives_the_runner(workspace, digits, tmp_path):
    shutil.copytree(digits.store, workspace / "artifacts")
    remote = (tmp_path / "shared").as_uri()
    (tmp_path / "shared").mkdir()
    done = remote_step(PULL, workspace, remote=remote)
    assert done.returncode == 0 and "no champion yet" in done.stdout, done.stderr
    job = {"DIGEST": digits.digest, "PROMOTE": "main", "GITHUB_EVENT_NAME": "push"}
    done = remote_step(PUSH, workspace, remote=remote, GITHUB_REF="refs/heads/feature", **job)
    assert done.returncode == 0, done.stderr
    assert api.list_remote(remote)[0].aliases == ["latest"]
    pull_request = {**job, "GITHUB_EVENT_NAME": "pull_request"}
    remote_step(PUSH, workspace, remote=remote, GITHUB_REF="refs/heads/main", **pull_request)
    assert api.list_remote(remote)[0].aliases == ["latest"]
    done = remote_step(PUSH, workspace, remote=remote, GITHUB_REF="refs/heads/main", **job)
    assert done.returncode == 0, done.stderr
    another = tmp_path / "another"
    another.mkdir()
    done = remote_step(PULL, another, remote=remote)
    assert done.returncode == 0, done.stderr
    [move] = api.history("digits@champion", store=another / "artifacts")
    assert move.digest == digits.digest


@pytest.mark.slow
def test_a_remote_that_is_wrong_fails_the_job(workspace):
    assert remote_step(PULL, workspace, remote="https://example.org").returncode == 2
    done = remote_step(PULL, workspace, remote="oci://localhost:1/acme/churn")
    assert done.returncode == 5, done.stderr
