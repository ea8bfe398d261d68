"""Steps of the action, run as the runner runs them."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from ruamel.yaml import YAML

import artifact_pipeline as api
from tests.support.configs import ROOT
from tests.support.github_api import REPOSITORY, github_api

STEPS = YAML(typ="safe").load(ROOT / "action.yml")["runs"]["steps"]
[CHECK] = [step["run"] for step in STEPS if step["name"] == "Check the inputs"]
[PULL] = [step["run"] for step in STEPS if step["name"] == "Pull the champion"]
[PUSH] = [step["run"] for step in STEPS if step["name"] == "Push"]
[COMMENT] = [step["run"] for step in STEPS if step["name"] == "Comment on the pull request"]


def check(workspace, *, config="model.json", store="artifacts", **variables):
    env = {**os.environ, "PYTHON": sys.executable, "GITHUB_WORKSPACE": str(workspace),
           "GITHUB_OUTPUT": str(workspace / "output"), "GITHUB_REPOSITORY": "acme/churn",
           "CONFIG": config, "STORE": store, "DATA_PATH": "", "SIGN": "", "REMOTE": "",
           "PROMOTE": "", "COMMENT": "true", "ACTOR": "ann", "HEAD": "", "IS_PULL_REQUEST": "",
           **variables}  # fmt: skip
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


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"SIGN": "key"}, "the input sign must be keyless or empty"),
        ({"COMMENT": "yes"}, "the input comment must be true or false"),
        ({"COMMENT": ""}, "the input comment must be true or false"),
        ({"PROMOTE": "main"}, "the input promote needs a remote"),
        ({"PROMOTE": "refs/heads/main", "REMOTE": "s3://b/c"}, "must be the name of a branch"),
        ({"PROMOTE": "release/*", "REMOTE": "s3://b/c"}, "must be the name of a branch"),
        ({"REMOTE": "ghcr.io/acme/churn"}, "the remote must be an address of s3://"),
        ({"REMOTE": "https://ghcr.io/acme/churn"}, "the remote must be an address of s3://"),
        ({"REMOTE": "oci://ghcr.io/acme/churn@champion"}, "without @"),
        ({"REMOTE": "s3://b/c\n"}, "the input remote must be one line"),
        ({"DATA_PATH": " s3://b/c.csv"}, "the input data-path must be one line"),
        ({"DATA_PATH": "a.csv\ndigest=x"}, "the input data-path must be one line"),
        ({"config": "model.json\n"}, "the input config must be one line"),
    ],
)
def test_a_wrong_input_is_refused_before_anything_is_installed(workspace, variables, message):
    done = check(workspace, **variables)
    assert done.returncode == 1
    assert done.stderr.startswith("::error::") and message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (workspace / "output").exists()


@pytest.mark.parametrize(
    "variables",
    [
        {"REMOTE": "oci://ghcr.io/acme/churn", "PROMOTE": 'it\'s-"new"/x'},
        {"REMOTE": "file:///srv/a%20b", "DATA_PATH": "s3://bucket/parts/*.csv"},
        {"SIGN": "keyless", "COMMENT": "false", "DATA_PATH": "../elsewhere/rows.csv"},
    ],
)
def test_usual_inputs_are_accepted(workspace, variables):
    done = check(workspace, **variables)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("pull_request", "head", "is_fork"),
    [
        ("", "", "false"),
        ("true", "acme/churn", "false"),
        ("true", "mallory/churn", "true"),
        ("true", "", "true"),  # the fork was deleted
    ],
)
def test_a_pull_request_from_a_fork_is_known(workspace, pull_request, head, is_fork):
    done = check(workspace, IS_PULL_REQUEST=pull_request, HEAD=head, REMOTE="s3://b/c")
    assert done.returncode == 0, done.stderr
    assert (workspace / "output").read_text() == f"is-fork={is_fork}\n"
    assert ("::notice::" in done.stdout) is (is_fork == "true")


def test_a_pull_request_of_dependabot_is_as_from_a_fork(workspace):
    known = {"HEAD": "acme/churn", "ACTOR": "dependabot[bot]"}
    for pull_request, is_fork in (("true", "true"), ("", "false")):
        (workspace / "output").unlink(missing_ok=True)
        assert check(workspace, IS_PULL_REQUEST=pull_request, **known).returncode == 0
        assert (workspace / "output").read_text() == f"is-fork={is_fork}\n"


def test_what_a_fork_trains_is_not_pushed():
    conditions = {step["name"]: step.get("if", "") for step in STEPS}
    assert conditions["Push"] == "inputs.remote != '' && steps.inputs.outputs.is-fork != 'true'"


def remote_step(script, workspace, *, remote, **variables):
    env = {
        **os.environ, "PYTHON": sys.executable, "GITHUB_ACTION_PATH": str(ROOT),
        "STORE": "artifacts", "RUNNER_TEMP": str(workspace), "REMOTE": remote,
        "GITHUB_SHA": "c0ffee", "IS_FORK": "false", **variables,
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
@pytest.mark.parametrize("branch", ['a";touch${IFS}pwned;"', "$(touch${IFS}pwned)", "it's-ok"])
def test_the_name_of_a_branch_runs_nothing(workspace, digits, tmp_path, branch):
    shutil.copytree(digits.store, workspace / "artifacts")
    (tmp_path / "shared").mkdir()
    remote = (tmp_path / "shared").as_uri()
    assert check(workspace, REMOTE=remote, PROMOTE=branch).returncode == 0
    job = {"DIGEST": digits.digest, "GITHUB_EVENT_NAME": "push", "PROMOTE": branch}
    done = remote_step(PUSH, workspace, remote=remote, GITHUB_REF=f"refs/heads/{branch}", **job)
    assert done.returncode == 0, done.stderr
    assert "champion" in api.list_remote(remote)[0].aliases
    assert not list(tmp_path.rglob("pwned"))


def test_a_remote_that_is_wrong_fails_the_job(workspace):
    assert remote_step(PULL, workspace, remote="https://example.org").returncode == 2
    done = remote_step(PULL, workspace, remote="oci://localhost:1/acme/churn")
    assert done.returncode == 5, done.stderr


def test_a_remote_that_a_fork_cannot_read_is_a_warning(workspace):
    closed = {"remote": "oci://localhost:1/acme/churn", "IS_FORK": "true"}
    done = remote_step(PULL, workspace, **closed)
    assert done.returncode == 0, done.stderr
    assert "::warning::the remote cannot be read from a fork" in done.stdout
    assert remote_step(PULL, workspace, remote="oci://", IS_FORK="true").returncode == 2


@pytest.mark.parametrize(("token", "comments"), [("writes", 1), ("reads", 0)])
def test_the_run_is_commented_with_the_token_of_the_input(workspace, digits, token, comments):
    shutil.copytree(digits.store, workspace / "artifacts")
    [record] = (workspace / "artifacts" / "runs").iterdir()
    event = {"pull_request": {"number": 7, "head": {"sha": "0" * 40}}}
    (workspace / "event.json").write_text(json.dumps(event))
    with github_api() as github:
        job = {
            "GITHUB_ACTIONS": "true", "GITHUB_EVENT_PATH": str(workspace / "event.json"),
            "GITHUB_API_URL": github.url, "GITHUB_REPOSITORY": REPOSITORY, "GITHUB_TOKEN": token,
            "GITHUB_STEP_SUMMARY": str(workspace / "summary"),
        }  # fmt: skip
        for _ in range(2):
            done = remote_step(
                COMMENT, workspace, remote="", RECORD=f"artifacts/runs/{record.name}", **job
            )
            assert done.returncode == 0, done.stderr
            assert token not in done.stdout + done.stderr
        assert len(github.comments) == comments
    assert (workspace / "summary").exists() is (comments == 0)
