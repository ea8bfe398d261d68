"""The commands: output for scripts, output for people, and usage errors."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from tests.support.command import call
from tests.support.configs import QUICK, ROOT, write
from tests.support.waiting import HANG, until

COMMANDS = ["run", "train", "evaluate", "infer", "verify"]
COMMANDS += ["show", "report", "list", "compare", "reproduce", "recipe", "schema"]
COMMANDS += ["init", "seal", "serve", "sign", "trust", "promote", "doctor", "completion"]


@pytest.fixture
def project(project, digits):
    """A project with the digits artifact in its store."""
    shutil.copytree(digits.store, project / "artifacts")
    return project


@pytest.mark.parametrize("words", [["--help"], []])
def test_help_shows_the_commands_by_purpose(project, words):
    done = call(*words, cwd=project)
    assert done.code == (0 if words else 2) and done.err == ""
    headings = ["Train:", "Inspect:", "Predict:", "Verify:", "Share:", "Set up:"]
    places = [done.out.index(f"\n{heading}\n") for heading in headings]
    assert places == sorted(places) and "Other:" not in done.out
    assert "..." not in done.out.replace("[ARGS]...", "")  # no sentence is cut off


@pytest.mark.parametrize("command", COMMANDS)
def test_each_help_has_an_example_that_the_command_accepts(project, command, monkeypatch):
    import shlex

    import click

    from artifact_pipeline.cli.commands import group

    monkeypatch.chdir(project)
    (project / "shared").mkdir()
    out = call(command, "--help", cwd=project).out
    _, _, examples = out.rpartition("Example")
    lines = examples.partition("\n")[2].replace("\\\n", " ").splitlines()
    assert lines
    for line in lines:
        program, name, *rest = shlex.split(line.partition(" < ")[0].partition(" > ")[0])
        if program != "eval":
            assert (program, name) == ("artifact-pipeline", command)
            rest = [word for word in rest if word not in ("|", "source")]
            program = click.Context(group)
            group.get_command(program, command).make_context(name, rest, parent=program)


@pytest.mark.parametrize("command", ["run", "train", "recipe"])
def test_the_help_shows_the_default_config(project, command):
    out = " ".join(call(command, "-h", cwd=project).out.split())
    assert "CONFIG is a JSON file [default: config/config.json]" in out


def test_a_misspelt_command_gets_the_nearest_one(project):
    done = call("verfy", "latest", cwd=project)
    assert done.code == 2 and done.err.endswith("no such command 'verfy'; did you mean 'verify'?\n")


@pytest.mark.parametrize("command", ["run", "train", "recipe"])
def test_an_empty_folder_is_told_what_comes_next(tmp_path, command):
    done = call(command, cwd=tmp_path)
    assert done.code == 2
    assert "artifact-pipeline init" in done.err and "run --example" in done.err


@pytest.mark.slow
def test_the_example_runs_and_is_never_written_over_a_file(tmp_path):
    done = call("run", "--example", "--json", cwd=tmp_path)
    assert done.code == 0 and done.json["gates"][0]["passed"], done.err
    written = (tmp_path / "config" / "config.json").read_bytes()
    again = call("run", "--example", cwd=tmp_path)
    assert again.code == 2 and "config/config.json: exists already" in again.err
    assert (tmp_path / "config" / "config.json").read_bytes() == written
    assert call("run", "--json", cwd=tmp_path).json["cached"]


@pytest.mark.parametrize("words", [["list"], ["doctor"], ["show", "latest"], ["infer", "latest"]])
def test_a_store_that_does_not_exist_is_an_error(project, words):
    done = call(*words, "--store", "tpyo", cwd=project)
    assert done.code == 2 and "tpyo: no such folder, named by --store" in done.err
    told = call(*words, cwd=project, env={"ARTIFACT_PIPELINE_STORE": "tpyo"})
    assert told.code == 2 and "tpyo" in told.err


@pytest.mark.parametrize(
    ("reference", "hint"),
    [
        ("latset", "did you mean 'latest'?"),
        ("Latest", "did you mean 'latest'?"),
        ("{:.7}", "did you mean '{:.12}'?"),
        ("{:.11}x", "did you mean '{:.12}'?"),
        ("{:.70}0", "did you mean '{:.12}'?"),
        ("nothing-like-it", "artifact-pipeline list shows all artifacts"),
    ],
)
def test_an_unknown_reference_gets_the_nearest_one(project, digits, reference, hint):
    digest = digits.digest.removeprefix("sha256:")
    done = call("show", reference.format(digest), cwd=project)
    assert done.code == 2 and hint.format(digest) in done.err


@pytest.mark.parametrize("words", [["report", "latest"], ["infer", "latest", "rows.csv"]])
def test_output_into_a_missing_folder_names_that_folder(project, rows, words):
    np.savetxt(project / "rows.csv", rows[0][:3], delimiter=",")
    done = call(*words, "--output", "no/such/out.csv", cwd=project)
    assert done.code == 5
    assert done.err.startswith("error: no/such: no such folder; create it to write out.csv there")
    over = call(*words, "--output", "config/.csv/../", cwd=project)
    assert over.code in (2, 5) and not list(project.glob("**/.*.csv.*"))


def test_a_folder_without_a_store_lists_nothing(tmp_path):
    done = call("list", cwd=tmp_path)
    assert done.code == 0 and "0 artifacts; train one: artifact-pipeline run" in done.out


@pytest.mark.slow
def test_the_input_is_not_overwritten(project, rows):
    path = project / "rows.csv"
    np.savetxt(path, rows[0][:3], delimiter=",")
    before = path.read_bytes()
    (project / "link.csv").symlink_to("rows.csv")
    for output in ("rows.csv", "./rows.csv", "link.csv", path):
        done = call("infer", "latest", "rows.csv", "--output", output, cwd=project)
        assert done.code == 2 and "is the input, and would be overwritten" in done.err
    assert path.read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("words", [["run"], ["list"], ["show", "latest"], ["infer", "latest"]])
def test_lines_fit_80_columns(project, words):
    out = call(*words, cwd=project).out
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_80_columns(project, command):
    out = call(*([command] if command else []), "--help", cwd=project).out
    assert max(map(len, out.splitlines())) <= 80


@pytest.fixture(scope="module")
def rows():
    from sklearn.datasets import load_digits

    return load_digits(return_X_y=True)


def test_help_names_every_command(project):
    done = call("--help", cwd=project)
    assert done.code == 0
    assert all(f"\n  {name} " in done.out for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_and_json_output(project, command):
    done = call(command, "--help", cwd=project)
    assert done.code == 0 and ("--json" in done.out or command in ("serve", "completion"))
    assert call(command, "-h", cwd=project).out == done.out


def test_the_version_is_the_packages(project):
    import artifact_pipeline

    assert call("--version", cwd=project).out.strip() == artifact_pipeline.__version__


@pytest.mark.parametrize("command", ["run", "train"])
def test_run_and_train_print_the_documented_keys(project, digits, command):
    answer = call(command, "--json", cwd=project).json
    assert answer["digest"] == digits.digest
    assert answer["recipe_digest"].startswith("sha256:")
    assert (project / answer["artifact"] / "manifest.json").is_file()
    assert answer["cached"] is True
    assert answer["metrics"]["train"]["accuracy"] == 1.0
    assert 0.95 < answer["metrics"]["test"]["accuracy"] < answer["metrics"]["test"]["f1_weighted"]


@pytest.mark.slow
def test_with_json_nothing_else_is_on_standard_output(project):
    done = call("run", write(project, QUICK), "--json", cwd=project)
    json.loads(done.out)
    assert "train      done" in done.err


@pytest.mark.parametrize("form", ["csv", "json", "npy"])
@pytest.mark.parametrize("source", ["file", "standard input"])
def test_infer_predicts_rows_in_each_format(project, digits, rows, form, source):
    X, y = rows[0][:20], rows[1][:20]
    path = project / f"rows.{form}"
    {
        "csv": lambda: np.savetxt(path, X, delimiter=","),
        "json": lambda: path.write_text(json.dumps(X.tolist())),
        "npy": lambda: np.save(path, X),
    }[form]()
    given = path if source == "file" else "-"
    done = call("infer", "latest", given, "--json", cwd=project, stdin=path.read_bytes())
    assert done.code == 0, done.err
    assert done.json["digest"] == digits.digest
    assert done.json["labels"] == y.tolist()
    assert np.array(done.json["probabilities"]).argmax(axis=1).tolist() == y.tolist()
    plain = call("infer", "latest", given, cwd=project, stdin=path.read_bytes())
    assert [line.split()[0] for line in plain.out.splitlines()] == [str(label) for label in y]


@pytest.mark.slow
def test_infer_without_rows_predicts_the_held_out_rows(project):
    answer = call("infer", "latest", "--json", cwd=project).json
    assert len(answer["labels"]) == len(answer["truth"]) == 360
    assert round(answer["accuracy"], 4) == 0.9583
    out = call("infer", "latest", cwd=project).out
    assert out.startswith("accuracy on the 360 held-out rows: 0.9583\n")
    assert "wrong" in out


@pytest.mark.parametrize(
    ("data", "code", "message"),
    [
        (b"1,2,3", 3, "rows.csv, line 1: found 3 values, expected 64"),
        (b"", 3, "rows.csv: is empty"),
        (b"\n".join([b",".join([b"0"] * 64), b",".join([b"x"] * 64)]), 3, "line 2: pixel_0_0 is"),
    ],
)
def test_invalid_rows_exit_3_and_are_named_by_line(project, data, code, message):
    (project / "rows.csv").write_bytes(data)
    done = call("infer", "latest", "rows.csv", "--json", cwd=project)
    assert done.code == done.json["exit_code"] == code
    assert message in f"{done.json['error']['where']}: {done.json['error']['message']}"


def test_a_missing_file_of_rows_exits_2(project):
    done = call("infer", "latest", "none.csv", cwd=project)
    assert done.code == 2 and "none.csv: rows cannot be read: No such file" in done.err


def test_infer_refuses_an_artifact_with_another_digest(project):
    done = call("infer", "latest", "--digest", "sha256:" + "0" * 64, cwd=project)
    assert done.code == 4 and "is another artifact" in done.err


@pytest.mark.slow
def test_evaluate_recomputes_metrics_and_checks_gates(project, digits):
    found = call("evaluate", "latest", "--json", cwd=project).json
    assert found["metrics"]["train"] == digits.run["metrics"]["train"]
    assert found["metrics"]["test"] == pytest.approx(digits.run["metrics"]["test"], rel=1e-9)
    config = write(project, {**QUICK, "gates": {"test.accuracy": {"min": 0.97}}})
    missed = call("evaluate", "latest", "--config", config, cwd=project)
    assert missed.code == 1
    assert "error: gate: test.accuracy is 0.9583, below the minimum of 0.97" in missed.err
    told = call("evaluate", "latest", "--config", config, "--json", cwd=project).json
    assert told["exit_code"] == 1 and told["gates"][0]["passed"] is False
    assert told["metrics"] == found["metrics"]


def test_show_prints_recipe_and_metrics(project, digits):
    out = " ".join(call("show", "latest", cwd=project).out.split())
    for expected in (
        "digits: LogisticRegression",
        "1437 training rows, 360 held-out rows",
        'C=1.0, max_iter=1000, random_state=42, solver="lbfgs"',
        "0.9583",
        "onnx-float64 gives the estimator's labels on 360 held-out rows",
        digits.digest,
        "scikit-learn 1.",
        "aliases latest",
        "training held-out baseline accuracy 1.0000 0.9583 0.1000",  # DummyClassifier's
    ):
        assert expected in out
    answer = call("show", "latest", "--json", cwd=project).json
    assert answer["manifest"]["manifest_version"] == 1
    assert answer["record"]["artifact"] == digits.digest


def test_show_leads_with_name_headline_and_gates(tmp_path):
    gates = {"test.accuracy": {"min": 0.5}, "test.log_loss": {"max": 9}}
    done = call("run", write(tmp_path, {**QUICK, "gates": gates}), "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    shown = call("show", "latest", cwd=tmp_path)
    lines = shown.out.splitlines()
    assert lines[0] == "iris: GaussianNB" and max(map(len, lines)) <= 80
    evaluation = json.loads((tmp_path / done.json["artifact"] / "evaluation.json").read_bytes())
    name = evaluation["diagnostics"]["headline"]
    interval = evaluation["diagnostics"]["intervals"][name]
    headline = call("show", "latest", "--json", cwd=tmp_path).json["headline"]
    assert headline == {
        "metric": name,
        "value": done.json["metrics"]["test"][name],
        "interval": interval,
        "baseline": evaluation["baseline"]["test"][name],
    }
    [place] = [index for index, line in enumerate(lines) if f"  {headline['value']:.4f} (" in line]
    assert place <= 4 and f"{interval['low']:.4f} to {interval['high']:.4f}" in lines[place]
    assert [line.split()[:2] for line in lines if line.startswith("  gate")] == [
        ["gate", "test.accuracy"], ["gate", "test.log_loss"]]  # fmt: skip


def test_show_without_a_store_reports_no_run_record(digits, tmp_path):
    done = call("show", digits.folder, cwd=tmp_path)
    assert done.code == 0 and "the store has no record of it" in done.out


def test_list_prints_artifacts_and_runs(project, digits):
    answer = call("list", "--json", cwd=project).json
    assert [(a["digest"], a["aliases"]) for a in answer["artifacts"]] == [
        (digits.digest, ["latest"])
    ]
    assert [run["outcome"] for run in answer["runs"]] == ["done"]
    out = call("list", cwd=project).out
    assert "1 artifact\n" in out
    assert f"{digits.digest[7:19]}  digits:1  LogisticRegression  accuracy 0.9583" in out


def test_the_schema_is_json_with_and_without_the_option(project):
    plain, asked = call("schema", cwd=project), call("schema", "--json", cwd=project)
    assert plain.json == asked.json
    assert plain.json["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize(
    "words",
    [
        ["nope"],
        ["run", "--nope"],
        ["run", "a", "b"],
        ["infer"],
        ["compare", "latest"],
        ["verify", "latest", "--digest"],
        ["verify", "champion"],
        ["verify", "latest", "--digest", "0000"],
        ["show", "00000000"],
        ["run", "none.json"],
        ["run", "artifacts"],
    ],
    ids=" ".join,
)
def test_a_usage_error_exits_2_with_one_line(project, words):
    done = call(*words, cwd=project)
    assert done.code == 2
    last = done.err.splitlines()[-1]
    assert last.startswith("error: ") and "Traceback" not in done.err
    told = call(*words, "--json", cwd=project)
    if words[-1] != "--digest":  # which takes the next word, whatever it is
        assert told.json["exit_code"] == told.code == 2
        assert set(told.json["error"]) == {"kind", "message", "where", "remedy"}


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_output_in_a_pipe_is_plain(project, option):
    for words in ([option], ["run"], ["show", "latest"], ["list"]):
        assert "\x1b" not in call(*words, cwd=project).out


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminal")
def test_colors_and_progress_appear_only_on_a_suitable_terminal(project):
    def on_a_terminal(**env):
        import pty

        outer = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "TERM": "xterm", **env}
        for name in {"NO_COLOR", "CI"} - env.keys():
            outer.pop(name, None)
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "artifact_pipeline", "run", "config/config.json"]
        process = subprocess.Popen(command, cwd=project, env=outer, stdout=theirs, stderr=theirs)
        os.close(theirs)
        seen = b""
        try:
            while part := os.read(ours, 4096):
                seen += part
        except OSError:
            pass
        os.close(ours)
        assert process.wait() == 0
        return seen

    assert b"\x1b[32mdone" in on_a_terminal() and b"running" in on_a_terminal()
    assert b"\x1b" not in on_a_terminal(NO_COLOR="1")
    assert b"\x1b" not in on_a_terminal(TERM="dumb")
    assert b"\x1b" not in on_a_terminal(CI="true")


def test_user_text_cannot_move_the_cursor(project):
    done = call("run", "\x1b[2J.json", cwd=project)
    assert done.code == 2 and "\x1b" not in done.err and "\\x1b[2J.json" in done.err


@pytest.mark.slow
def test_an_ascii_locale_causes_no_error(project):
    env = {"PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    path = write(project, {**QUICK, "gates": {"test.accuracy": {"min": 0.5}}})
    done = call("run", path, cwd=project, env=env)
    assert done.code == 0, done.err
    assert call("infer", "latest", cwd=project, env=env).code == 0


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs a shell with pipes")
def test_a_reader_that_stops_early_gets_no_traceback(project):
    command = f"{sys.executable} -m artifact_pipeline infer latest --json | head -c 1"
    done = subprocess.run(
        command, shell=True, cwd=project, capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    assert b"Traceback" not in done.stderr and b"Error" not in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to a child")
def test_ctrl_c_exits_130_with_one_line(project):
    import signal

    endless = {"max_iter": 100_000, "tol": 0, "n_iter_no_change": 100_000}
    model = {"estimator": "sklearn.neural_network.MLPClassifier", "params": endless}
    process = subprocess.Popen(
        [sys.executable, "-m", "artifact_pipeline", "run",
         write(project, {"data": {"dataset": "digits"}, "model": model})],
        cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    # It trains once the test is done; a slow machine shows before that how long it runs.
    until(lambda: b"test       done" in process.stdout.readline())
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=HANG)
    assert process.returncode == 130
    assert err.strip() == b"interrupted; stored artifacts are unchanged"


def test_a_missing_or_wrong_option_is_told_on_one_line_with_what_is_right(tmp_path):
    done = call("export", "latest", cwd=tmp_path)
    assert done.code == 2 and "Missing option '--to': expected one of folder, slsa" in done.err
    done = call("prune", "--keep", "3", cwd=tmp_path)
    assert "No such option '--keep'; did you mean one of '--help', '--keep-days'" in done.err
    done = call("serve", "latest", "--port", "abc", cwd=tmp_path)
    assert "'abc' is not a number" in done.err
