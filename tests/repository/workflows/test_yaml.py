"""Triggers, permissions, limits and pins of the workflows."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.support.configs import ROOT

ALL = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PIPELINE = ROOT / ".github" / "workflows" / "pipeline.yml"
FILES = [path for path in ALL if path != PIPELINE]
BRANCHES = {
    "train": ["classification"],
    "test": ["test", "main"],
    "inference": ["inference", "main"],
}


def load(path):
    return YAML(typ="safe").load(path)  # YAML 1.2, in which `on` is no boolean


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
class TestEachWorkflow:
    def test_it_starts_on_its_branches_and_by_hand(self, path):
        events = load(path)["on"]
        assert events["push"]["branches"] == BRANCHES[path.stem]
        assert events["pull_request"]["branches"] == BRANCHES[path.stem]
        assert "workflow_dispatch" in events and set(events) == {
            "push", "pull_request", "workflow_dispatch"
        }  # fmt: skip
        if path.stem != "test":
            given = events["workflow_dispatch"]["inputs"]["config"]
            assert given["default"] == "config/config.json" and given["type"] == "string"

    def test_it_has_the_least_rights(self, path):
        workflow = load(path)
        assert workflow["permissions"] == {}
        for job in workflow["jobs"].values():
            assert job["permissions"] == {"contents": "read"}

    def test_it_ends_and_does_not_pile_up(self, path):
        workflow = load(path)
        assert workflow["concurrency"]["cancel-in-progress"] is True
        assert all(5 <= job["timeout-minutes"] <= 30 for job in workflow["jobs"].values())

    def test_it_persists_no_credentials(self, path):
        for job in load(path)["jobs"].values():
            [checkout] = [s for s in job["steps"] if "actions/checkout@" in s.get("uses", "")]
            assert checkout["with"] == {"persist-credentials": False}

    def test_no_expression_stands_in_shell_text(self, path):
        steps = [step for job in load(path)["jobs"].values() for step in job["steps"]]
        assert all("${{" not in step.get("run", "") for step in steps)


@pytest.mark.parametrize("path", [*ALL, ROOT / "action.yml"], ids=lambda path: path.name)
def test_every_action_is_pinned_by_commit_with_a_version_comment(path):
    used = re.findall(r"uses: (.*)", path.read_text("utf-8"))
    assert used
    for one in used:
        is_own = one in ("./", "./.artifact-pipeline")
        assert is_own or re.fullmatch(r"actions/[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one)


def test_the_documented_workflows_pin_what_the_workflows_of_this_repository_pin():
    pins = r"actions/[\w/-]+@[0-9a-f]{40}.* # v[\d.]+"
    files = [*ALL, ROOT / "action.yml"]
    pinned = {pin for path in files for pin in re.findall(pins, path.read_text("utf-8"))}
    pinned = {re.sub("/(restore|save)@", "@", pin) for pin in pinned}
    page = (ROOT / "docs" / "github-actions.md").read_text("utf-8")
    documented = {re.sub(r", with.*(?= #)", "", pin) for pin in re.findall(pins, page)}
    assert len(documented) == 3 and documented <= pinned


def test_shell_steps_of_the_action_contain_no_expression():
    steps = load(ROOT / "action.yml")["runs"]["steps"]
    assert all("${{" not in step.get("run", "") for step in steps)


def test_every_input_and_output_of_the_action_is_described():
    action = load(ROOT / "action.yml")
    assert list(action["inputs"]) == [
        *("config", "data-path", "store", "gates", "python-version", "sign", "remote", "promote"),
        *("comment", "github-token"),
    ]
    assert {"digest", "recipe-digest", "artifact-path", "accuracy", "cached"} <= set(
        action["outputs"]
    )
    described = [*action["inputs"].values(), *action["outputs"].values(), action]
    assert all(one["description"].strip().endswith(".") for one in described)


def test_the_action_signs_only_its_own_artifact_on_request():
    steps = {step["name"]: step for step in load(ROOT / "action.yml")["runs"]["steps"]}
    assert load(ROOT / "action.yml")["inputs"]["sign"]["default"] == ""
    assert steps["Sign"]["if"] == "inputs.sign == 'keyless'"
    assert steps["Restore the store"]["if"] == "inputs.sign == ''"
    assert "${SIGN:+--force}" in steps["Train"]["run"]  # the pulled champion is not its own
    assert "id-token" not in "".join(path.read_text("utf-8") for path in ALL)


def test_the_model_is_kept_for_thirty_days_and_only_after_training():
    for name in ("train", "inference"):
        steps = load(ROOT / ".github" / "workflows" / f"{name}.yml")["jobs"]["train"]["steps"]
        [model] = [s for s in steps if s.get("with", {}).get("name") == "model-train"]
        assert model["with"]["retention-days"] == 30
        assert "if" not in model  # a step without a condition runs only if all before it did


def test_the_jobs_are_chained():
    jobs = load(ROOT / ".github" / "workflows" / "inference.yml")["jobs"]
    assert {name: job.get("needs") for name, job in jobs.items()} == {
        "test": None, "train": "test", "inference": "train"
    }  # fmt: skip
    assert set(jobs["train"]["outputs"]) == {"digest"}


class TestThePipelineOfOtherRepositories:
    def test_its_jobs_are_chained_and_only_the_training_has_what_the_caller_grants(self):
        jobs = load(PIPELINE)["jobs"]
        assert {name: job.get("needs") for name, job in jobs.items()} == {
            "test": None, "train": "test", "inference": "train"
        }  # fmt: skip
        permissions = {name: job.get("permissions") for name, job in jobs.items()}
        reads = {"contents": "read"}
        assert permissions == {"test": reads, "train": None, "inference": reads}
        assert "permissions" not in load(PIPELINE)  # it would take them from the training, too

    def test_it_cannot_cancel_its_caller(self):
        workflow = load(PIPELINE)  # whose group github.workflow is the caller's
        assert "concurrency" not in workflow
        assert all("concurrency" not in job for job in workflow["jobs"].values())
        assert set(workflow["on"]) == {"workflow_call"}

    def test_the_action_comes_from_its_own_commit_and_no_credentials_are_kept(self):
        jobs = load(PIPELINE)["jobs"]
        for job in jobs.values():
            checkouts = [
                s["with"] for s in job["steps"] if "actions/checkout@" in s.get("uses", "")
            ]
            assert all(checkout["persist-credentials"] is False for checkout in checkouts)
        for name in ("train", "inference"):
            [own] = [s["with"] for s in jobs[name]["steps"] if s["name"] == "Check out the action"]
            assert own["repository"] == "${{ job.workflow_repository }}"
            assert own["ref"] == "${{ job.workflow_sha }}"

    def test_no_expression_stands_in_shell_text(self):
        steps = [step for job in load(PIPELINE)["jobs"].values() for step in job["steps"]]
        assert all("${{" not in step.get("run", "") for step in steps)

    def test_every_input_is_described_used_and_on_the_page(self):
        call = load(PIPELINE)["on"]["workflow_call"]
        text = PIPELINE.read_text("utf-8")
        page = (ROOT / "docs" / "github-actions.md").read_text("utf-8").partition("\n## ")[0]
        for kind in ("inputs", "secrets", "outputs"):
            for name, one in call[kind].items():
                assert one["description"] and f"`{name}`" in page, name
                assert kind == "outputs" or f"{kind}.{name} " in text.replace("'", " "), name
        inputs = load(ROOT / "action.yml")["inputs"]
        for name in ("config", "python-version"):
            assert call["inputs"][name]["default"] == inputs[name]["default"]

    def test_the_documented_caller_has_ten_lines_and_only_inputs_that_there_are(self):
        caller = workflows_of("docs/github-actions.md")[0]
        assert workflows_of("README.md") == [caller]
        assert len(caller.splitlines()) <= 10
        [job] = YAML(typ="safe").load(caller)["jobs"].values()
        assert job["uses"] == "OWNER/mlops-artifact-pipeline/.github/workflows/pipeline.yml@COMMIT"
        assert set(job["with"]) <= set(load(PIPELINE)["on"]["workflow_call"]["inputs"])


def workflows_of(document):
    return re.findall(r"```yaml\n(.*?)```", (ROOT / document).read_text("utf-8"), re.S)


def test_the_documented_workflows_are_valid(tmp_path):
    paths = []
    for number, workflow in enumerate(workflows_of("docs/github-actions.md")):
        paths.append(tmp_path / f"{number}.yml")
        paths[-1].write_text(workflow, "utf-8")
    assert len(paths) == 6
    checker = shutil.which("check-jsonschema") or Path(sys.executable).parent / "check-jsonschema"
    command = [checker, "--builtin-schema=vendor.github-workflows", *paths]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_updates_come_after_a_cooldown():
    updates = load(ROOT / ".github" / "dependabot.yml")["updates"]
    assert {update["package-ecosystem"] for update in updates} == {"github-actions", "pip"}
    assert all(update["cooldown"] == {"default-days": 7} for update in updates)
