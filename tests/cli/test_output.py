"""Output to closed or full files, removed folders, and signals."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import call, trainer_of
from tests.support.configs import ROOT, write
from tests.support.waiting import HANG, alive, until

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell and its signals")
ENDLESS = {
    "data": {"dataset": "digits"},
    "model": {
        "estimator": "sklearn.neural_network.MLPClassifier",
        "params": {"max_iter": 100_000, "tol": 0, "n_iter_no_change": 100_000},
    },
}


@pytest.fixture
def project(project, digits):
    """A project with the digits artifact in its store."""
    shutil.copytree(digits.store, project / "artifacts")
    return project


def shell(command, cwd, **env):
    """Run a line of shell in which `ap` is the command; return its code and standard error."""
    line = f'ap() {{ {sys.executable} -m artifact_pipeline "$@"; }}; {command}'
    outer = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **env}
    done = subprocess.run(["bash", "-c", line], cwd=cwd, env=outer, capture_output=True)
    return done.returncode, done.stderr.decode()


def state(project):
    files = (project / "artifacts").rglob("*")
    return sorted((str(path), path.stat().st_mtime_ns) for path in files)


NOWHERE = {
    "closed": (">&-", "is closed"),
    "a full disk": ("> /dev/full", "No space left on device"),
    "not writable": ("1< /dev/null", "Bad file descriptor"),
}
WORDS = [
    "promote latest",
    "list",
    "show latest --json",
    "--help",
    pytest.param("run config/config.json", marks=pytest.mark.slow),
    pytest.param("trust --public-key none", marks=pytest.mark.slow),
    pytest.param("doctor --repair", marks=pytest.mark.slow),
    pytest.param("report latest", marks=pytest.mark.slow),
    pytest.param("recipe", marks=pytest.mark.slow),
    pytest.param("verify nothing --json", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("where", "said"), NOWHERE.values(), ids=NOWHERE)
@pytest.mark.parametrize("words", WORDS)
def test_unprintable_output_is_one_line_and_nothing_is_done(project, words, where, said):
    before = state(project)
    code, err = shell(f"ap {words} {where}", project)
    assert code == 5 and err.startswith("error: standard output: ") and said in err
    assert err.count("\n") == 1
    assert state(project) == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounts a small disk")
def test_a_full_disk_is_noticed_before_anything_is_done(project, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], check=True)
    try:
        (disk / "filler").write_bytes(b"x" * shutil.disk_usage(disk).free)
        before = state(project)
        code, err = shell(f"ap promote latest > {disk}/out", project)
        assert code == 5 and "No space left on device" in err and err.count("\n") == 1
        assert state(project) == before
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize("unbuffered", ["", "1"])  # Python keeps a partial write to itself then
def test_a_failure_while_printing_is_one_line(project, unbuffered):
    """A limit on the size of files is no full disk, and not to be seen before."""
    line = "ulimit -f 1; ap list --json > out 2> err; echo $? >&2; cat err >&2"
    _, err = shell(line, project, PYTHONUNBUFFERED=unbuffered)
    code, _, err = err.partition("\n")
    assert code == "5" and err.startswith("error: standard output: cannot be written: File too")
    assert err.count("\n") == 1


@pytest.mark.parametrize("words", ["list", "show latest --json", "promote latest", "--help"])
def test_a_closed_pipe_causes_no_traceback(project, words):
    for reader in ("true", "head -c 1"):
        _, err = shell(f"ap {words} | {reader}", project)
        assert err == ""


@pytest.mark.parametrize("streams", ["2>&-", "2> /dev/full", "<&-"])
def test_commands_work_without_standard_error_or_input(project, streams):
    assert shell(f"ap promote latest {streams}", project)[0] == 0
    assert shell(f"ap verify nothing {streams}", project)[0] == 2


def test_rows_from_a_closed_standard_input_exit_2(project):
    code, err = shell("ap infer latest - <&-", project)
    assert code == 2 and err == "error: standard input: rows cannot be read: it is closed\n"


def test_the_scripts_fail_in_one_line(project):
    shutil.copy(next(project.glob("artifacts/*/model_train.pkl")), project)
    for where in (">&-", "> /dev/full"):
        code, err = shell(f"{sys.executable} {ROOT}/src/inference.py {where}", project)
        assert code == 5 and err.startswith("error: standard output") and err.count("\n") == 1


@pytest.mark.parametrize("words", ["run", "list", "doctor"])
def test_a_removed_working_folder_is_one_line(project, words):
    code, err = shell(f"mkdir gone; cd gone; rmdir ../gone; ap {words}", project)
    assert code == 5 and err.startswith("error: the working folder: ") and err.count("\n") == 1


@pytest.mark.slow
def test_names_that_are_not_utf_8_work_or_are_refused_in_one_line(project):
    odd = os.fsdecode(b"o\xff")
    Path(odd).mkdir()
    shutil.move("artifacts", f"{odd}/artifacts")
    shutil.copy("config/config.json", f"{odd}/{odd}.json")
    for words in (["list"], ["show", "latest"], ["verify", "latest"], ["report", "latest"]):
        done = call(*words, "--json", cwd=project / odd)
        assert done.code == 0, done.err
    done = call("run", f"{odd}.json", "--json", cwd=project / odd)
    assert done.code == 0 and done.json["cached"], done.err
    assert call("list", "--json", cwd=project / odd).json["runs"][0]["config"] == "o\\xff.json"
    assert call("doctor", cwd=project / odd).code == 0
    table = "a,y\n" + "".join(f"{i % 7},{i % 2}\n" for i in range(40))
    Path(f"{odd}/{odd}.csv").write_text(table)
    done = call("init", f"{odd}.csv", "--target", "y", "--output", "i.json", cwd=project / odd)
    assert done.code == 2 and done.err.count("\n") == 1 and "is not valid UTF-8" in done.err
    for words in (["verify", odd], ["run", f"no{odd}"], ["infer", "latest", f"no{odd}"]):
        done = call(*words, "--json", cwd=project / odd)
        assert done.code == 2 and done.json["exit_code"] == 2 and "Traceback" not in done.err


@pytest.mark.slow
def test_a_table_in_a_folder_that_is_not_utf_8_is_found_with_data(tmp_path):
    odd = tmp_path / os.fsdecode(b"o\xff")
    odd.mkdir()
    table = "a,y\n" + "".join(f"{i % 7},{i % 2}\n" for i in range(40))
    (odd / "t.csv").write_text(table)
    config = {"data": {"path": "t.csv", "target": "y"},
              "model": {"estimator": "sklearn.tree.DecisionTreeClassifier"}}  # fmt: skip
    (odd / "config.json").write_text(json.dumps(config))
    assert call("train", "config.json", cwd=odd).code == 0
    for words in (["evaluate", "latest"], ["infer", "latest"], ["reproduce", "latest"]):
        assert call(*words, cwd=odd).code == 0  # the config names it from there
        done = call(*words, "--store", odd / "artifacts", cwd=tmp_path)
        assert done.code == 3 and done.err.count("\n") == 1
        assert "o\\xff/t.csv" in done.err and "not UTF-8" in done.err and "--data" in done.err
    for place in ("t.csv", odd / "t.csv"):
        done = call("evaluate", "latest", "--data", place, cwd=odd)
        assert done.code == 0, done.err


needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
ENDS = {
    "SIGTERM": (143, b"terminated; stored artifacts are unchanged\n"),
    "SIGHUP": (129, b"terminated; stored artifacts are unchanged\n"),
    "SIGINT": (130, b"\ninterrupted; stored artifacts are unchanged\n"),
    "SIGKILL": (-9, b""),
}


@needs_proc
@pytest.mark.parametrize(
    "name",
    [
        "SIGTERM",
        "SIGKILL",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("SIGHUP", "SIGINT")),
    ],
)
def test_ending_a_command_ends_its_trainer(project, name):
    code, said = ENDS[name]
    process = subprocess.Popen(
        [sys.executable, "-m", "artifact_pipeline", "run", write(project, ENDLESS)],
        cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    child = until(lambda: trainer_of(process.pid))
    process.send_signal(getattr(signal, name))
    assert process.wait(HANG) == code
    until(lambda: not alive(child))
    assert process.stderr.read() == said
    assert list((project / "artifacts" / "staging").iterdir()) == []
    assert call("doctor", cwd=project).code == 0
    process.stdout.close()
    process.stderr.close()


HOLDS_THE_LOCK = """
import ctypes, os, sys
sys.path[:0] = [{src!r}]
from artifact_pipeline.builder.training import worker
{without}
import threading
real = worker._serve
def serve(messages, outward):
    messages.get()
    print("ready", flush=True)
    {wait}
worker._serve = serve
worker.main()
"""


@needs_proc
@pytest.mark.parametrize(
    ("without", "wait_for"),
    [
        ("", "ctypes.PyDLL(None).sleep(600)"),  # compiled code that keeps the interpreter's lock
        ("worker._die_with_parent = lambda: None", "import time; time.sleep(600)"),
    ],
    ids=["by the kernel", "by its own thread"],
)
def test_a_trainer_ends_with_its_parent(tmp_path, without, wait_for):
    """The parent is killed; the child is in compiled code, or on a system without prctl."""
    code = HOLDS_THE_LOCK.format(src=str(ROOT / "src"), without=without, wait=wait_for)
    (tmp_path / "child.py").write_text(code)
    parent = (
        "import subprocess, sys, time\n"
        "p = subprocess.Popen([sys.executable, 'child.py'], stdin=subprocess.PIPE)\n"
        'p.stdin.write(b\'{"message": {}, "blobs": []}\\n\'); p.stdin.flush()\n'
        "print(p.pid, flush=True); time.sleep(600)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", parent], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    child = int(process.stdout.readline())
    assert process.stderr.readline() == b"ready\n"  # what a trainer prints goes there
    assert alive(child)
    process.kill()
    until(lambda: not alive(child))
    process.communicate()


@pytest.mark.slow
@needs_proc
def test_an_unexpected_error_in_a_trainer_is_reported_as_a_bug(project):
    """A sitecustomize stands in for the bug: scikit-learn raises what nobody catches."""
    (project / "site").mkdir()
    (project / "site" / "sitecustomize.py").write_text(
        "import sys\n"
        "if any(word.endswith('training.worker') for word in sys.orig_argv):\n"
        "    import sklearn.naive_bayes as n\n"
        "    def fit(self, X, y): raise ZeroDivisionError('nobody\\nexpected this')\n"
        "    import artifact_pipeline.builder.training.train as learning\n"
        "    learning.train = lambda *prepared, **_: fit(None, None, None)\n"
    )
    env = {"PYTHONPATH": os.pathsep.join([str(project / "site"), str(ROOT / "src")])}
    done = call(
        "run", write(project, {**ENDLESS, "data": {"dataset": "iris"}}), cwd=project, env=env
    )
    assert done.code == 5
    last = done.err.splitlines()[-1]
    assert "ZeroDivisionError: nobody expected this" in last and "this is a bug" in last
    assert "Traceback" not in done.err and "killed" not in done.err
    assert json.loads(call("list", "--json", cwd=project).out)["runs"][0]["outcome"] == "failed"
