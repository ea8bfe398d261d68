"""Output for GitHub Actions: summary, outputs and annotations."""

import json
import os
import re
import shutil

import pytest

from artifact_pipeline.builder.config.messages import line_of
from artifact_pipeline.cli import github, output
from artifact_pipeline.errors import StoreError
from tests.support.command import call
from tests.support.configs import QUICK, SHORT, write

ACTIONS = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": "summary", "GITHUB_OUTPUT": "output"}


def outputs(project):
    return dict(line.split("=", 1) for line in (project / "output").read_text().splitlines())


def test_outside_of_a_workflow_nothing_is_written(project, digits):
    shutil.copytree(digits.store, project / "artifacts")
    done = call("run", cwd=project, env={"GITHUB_ACTIONS": ""})
    assert done.code == 0 and "::" not in done.err
    assert {path.name for path in project.iterdir()} == {"artifacts", "config"}


def test_the_outputs_are_those_of_the_run(project, digits):
    shutil.copytree(digits.store, project / "artifacts")
    run = call("run", "--json", cwd=project, env=ACTIONS).json
    assert outputs(project) == {
        "digest": digits.digest,
        "recipe-digest": run["recipe_digest"],
        "version": "digits:1",
        "artifact-path": run["artifact"],
        "report-path": run["report"],
        "record-path": run["record"],
        "accuracy": "0.9583333333333334",
        "cached": "true",
    }
    assert (project / run["record"]).is_file()


def test_recipe_outputs_the_cache_key(project):
    done = call("recipe", "--json", cwd=project, env=ACTIONS)
    assert outputs(project) == {"recipe-digest": done.json["recipe_digest"]}


@pytest.mark.slow
def test_the_summary_shows_metrics_gates_change_and_confusion(project, digits):
    shutil.copytree(digits.store, project / "artifacts")
    config = {**SHORT, "C": 1e-5, "gates": {"test.accuracy": {"min": 0.5, "max": 0.6}}}
    done = call("run", write(project, config), cwd=project, env=ACTIONS)
    assert done.code == 1
    text = (project / "summary").read_text("utf-8").replace("\\", "")
    headline = (
        r"\*\*Held-out accuracy 0\.\d{3} \(95% interval 0\.\d{3} to 0\.\d{3}; baseline 0\.100\)"
    )
    assert re.search(headline, text)
    run = call("list", "--json", cwd=project).json["runs"][0]
    metrics = run["metrics"]
    change = metrics["test"]["accuracy"] - digits.run["metrics"]["test"]["accuracy"]
    head = (
        f"| metric | training rows | held-out rows | change from {digits.digest[7:19]} | baseline |"
    )
    assert head in text
    assert re.search(r"^\| Accuracy \|.*\| 0\.1000 \|$", text, re.M)  # 36 of 360 rows are threes
    assert (
        f"| Accuracy | {metrics['train']['accuracy']:.4f} | {metrics['test']['accuracy']:.4f} "
        f"| {change:+.4f} |"
    ) in text
    assert "| passed | test.accuracy at least 0.5 |" in text
    assert "| **missed** | test.accuracy at most 0.6 |" in text
    assert "Confusion on the 360 held-out rows" in text
    assert run["artifact"] in text


@pytest.mark.slow
def test_models_of_different_rows_are_not_compared(project):
    assert call("run", write(project, QUICK), cwd=project).code == 0
    wine = {**QUICK, "data": {"dataset": "wine"}}
    assert call("run", write(project, wine), "--json", cwd=project, env=ACTIONS).code == 0
    assert "change from" not in (project / "summary").read_text("utf-8")


@pytest.mark.slow
def test_gates_of_the_command_override_those_of_the_config(project):
    path = write(project, {**QUICK, "gates": {"test.accuracy": {"min": 0.999}}})
    done = call("train", path, "--gates", '{"test.f1_macro": {"min": 0.5}}', "--json", cwd=project)
    assert done.code == 0
    assert [gate["metric"] for gate in done.json["gates"]] == ["test.f1_macro"]


@pytest.mark.parametrize("gates", ["{", "[]", '{"test.nope": {"min": 1}}', '{"test.accuracy": {}}'])
def test_invalid_gates_of_the_command_exit_2(project, gates):
    done = call("train", write(project, QUICK), "--gates", gates, cwd=project)
    assert done.code == 2 and "error: --gates" in done.err


def test_a_config_error_is_annotated_at_its_file_and_line(project):
    text = json.dumps({**SHORT, "test_size": 2}, indent=1)
    done = call("run", write(project, text).name, cwd=project, env=ACTIONS)
    assert done.code == 2
    assert (
        "::error title=artifact-pipeline%3A config,file=config.json,line=6::test_size: found 2"
    ) in done.err


def test_invalid_json_is_annotated_at_its_line(project):
    done = call("run", write(project, '{"C": 1,\n\n"solver" 3}').name, cwd=project, env=ACTIONS)
    assert ",file=config.json,line=3::" in done.err


@pytest.mark.slow
def test_a_missed_gate_is_annotated_with_metric_bound_and_value(project):
    config = {**QUICK, "gates": {"test.accuracy": {"min": 0.999}}}
    done = call("run", write(project, config), cwd=project, env=ACTIONS)
    assert (
        "::error title=artifact-pipeline%3A gate missed::test.accuracy is 0.9667, "
        "below the minimum of 0.999"
    ) in done.err


@pytest.mark.parametrize(
    ("path", "line"),
    [("", 1), ("a", 1), ("b", 2), ("b.c", 3), ("b.c[0]", 3), ("b.c[1].d", 4), ("e.f.g", 6),
     ("e.f.g.min", 6), ("b.nope", 2), ("nope", 1)],
)  # fmt: skip
def test_a_key_is_found_at_its_line(path, line):
    text = '{"a": "x]},",\n"b": {\n"c": [1, {\n"d": "\\"e"}],\n"b": 1},\n"e": {"f.g": {"min": 1}}}'
    assert line_of(text, path) == line


def test_a_value_that_could_be_read_as_another_output_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    for name, value in (
        ("artifact-path", "a\ndigest=sha256:" + "0" * 64),
        ("digest", "sha256:0"),
        ("accuracy", "1; rm"),
        ("cached", "yes"),
    ):
        with pytest.raises(StoreError, match=f"output {name}: its value"):
            github.outputs({name: value})
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize("text", ["::stop-commands::x", "  ::add-mask::x", "a ##[error]x", "##[x]"])
def test_user_text_starts_no_workflow_command(text, monkeypatch, capsys):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    output.text(text)
    output.say(text)
    output.document({"a": f"\n{text}"})
    seen = capsys.readouterr()
    for line in (seen.out + seen.err).splitlines():
        assert not line.lstrip().startswith("::") and "##[" not in line
    assert json.loads(seen.out[seen.out.index("{") :]) == {"a": f"\n{text}"}


def test_a_hostile_path_starts_no_workflow_command(project):
    name = "::error::x\n::set-output name=a::b.json"
    done = call("run", name, cwd=project, env={**ACTIONS, "GITHUB_OUTPUT": os.devnull})
    lines = [line for line in done.err.splitlines() if line.lstrip().startswith("::")]
    assert lines == [line for line in lines if line.startswith("::error title=artifact-pipeline")]
    assert len(lines) == 1
