"""The check of the action's paths, run as the step runs it."""

import os
import subprocess
import sys

import pytest
from ruamel.yaml import YAML

from tests.support.configs import ROOT

STEPS = YAML(typ="safe").load(ROOT / "action.yml")["runs"]["steps"]
[CHECK] = [step["run"] for step in STEPS if step["name"] == "Check the paths"]


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
