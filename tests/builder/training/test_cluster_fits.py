"""The fits of searches and cross-validations on Dask workers: the bytes of one machine."""

import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

import artifact_pipeline as api
from artifact_pipeline.errors import (
    CallError,
    ConfigError,
    EnvironmentFailure,
    MissingDependency,
    NetworkError,
)
from tests.support import dask, dask_kills
from tests.support.command import call, environment
from tests.support.configs import QUICK, ROOT, write
from tests.support.waiting import HANG, alive, until

LOGISTIC = {
    "data": {"dataset": "digits"},
    "model": {
        "steps": [
            {"name": "scale", "estimator": "sklearn.preprocessing.StandardScaler"},
            {"name": "model", "estimator": "sklearn.linear_model.LogisticRegression",
             "params": {"max_iter": 12}},
        ]
    },
    "search": {"params": {"model__C": [0.01, 1.0, 100.0]}, "cv": 3},
    "evaluation": {"cv": 3},
}  # fmt: skip
TABLE = {
    "data": {"path": "table.csv", "target": "y"},
    "model": {
        "preprocess": "auto",
        "estimator": "sklearn.ensemble.HistGradientBoostingClassifier",
        "params": {"max_iter": 8},
    },
    "search": {
        "method": "random",
        "n_iter": 3,
        "params": {"model__learning_rate": {"loguniform": [0.01, 1.0]}},
        "cv": 3,
    },
    "evaluation": {"cv": 2},
}
FOREST = {
    "data": {"dataset": "diabetes"},
    "model": {"estimator": "sklearn.ensemble.RandomForestRegressor", "params": {"n_estimators": 6}},
    "search": {"params": {"max_depth": [2, 4]}, "cv": 2},
}
NEIGHBORS = {
    "data": {"dataset": "wine"},
    "model": {
        "estimator": "sklearn.neighbors.KNeighborsClassifier",
        "params": {"algorithm": "brute"},
    },
    "evaluation": {"cv": 4},
}


def write_table(folder):
    lines = ["n,m,city,y"]
    for row in range(300):
        number = "" if row % 17 == 0 else f"{row * 37 % 101 / 7:.4f}"
        lines.append(f"{number},{row % 13},{'abcdefgh'[row % 8]}{row % 41},{row * 11 % 5 > 1}")
    (folder / "table.csv").write_text("\n".join(lines))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """The address of a scheduler with two workers under the numeric profile."""
    folder = tmp_path_factory.mktemp("dask")
    one, two = ((*dask.PRELOAD, "--nthreads", "1") for _ in range(2))
    with (
        dask.scheduler(folder) as address,
        dask.worker(address, folder, *one, name="one"),
        dask.worker(address, folder, *two, name="two"),
    ):
        yield address


@pytest.mark.slow
@pytest.mark.parametrize("config", [LOGISTIC, TABLE, FOREST, NEIGHBORS])
def test_a_cluster_gives_the_artifact_of_one_machine(tmp_path, cluster, config):
    write_table(tmp_path)
    path, jobs = write(tmp_path, config), []
    here = api.train(path, store=tmp_path / "here")
    there = api.train(
        path, store=tmp_path / "there", engine="dask", scheduler=cluster, listener=jobs.append
    )
    assert there.digest == here.digest
    assert there.warnings == here.warnings
    notes = [job.note.partition(",")[0] for job in jobs if job.outcome == "running"]
    fits = [note.split()[1::2] for note in notes if " of " in note]
    assert fits
    done, total = fits[-1]
    assert done == total


@pytest.mark.slow
def test_an_error_of_a_fit_is_that_of_one_machine(tmp_path, cluster):
    config = {**LOGISTIC, "search": {"params": {"model__C": [-1.0]}, "cv": 2}}
    messages = []
    for options in ({}, {"engine": "dask", "scheduler": cluster}):
        with pytest.raises(ConfigError) as caught:
            api.train(config, store=tmp_path, **options)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


@pytest.mark.slow
def test_a_local_cluster_is_started_and_leaves_no_process(tmp_path):
    path = write(tmp_path, LOGISTIC)
    here = api.train(path, store=tmp_path / "here")
    env = {"PYTHONPATH": str(ROOT / "src")}
    done = call("run", path, "--engine", "dask", "--json", cwd=tmp_path, env=env)
    assert done.code == 0, done.err
    assert done.json["digest"] == here.digest


@pytest.mark.slow
def test_workers_that_would_compute_other_bits_are_refused_by_name(tmp_path):
    (tmp_path / "old" / "scipy-1.0.dist-info").mkdir(parents=True)
    (tmp_path / "broken" / "artifact_pipeline").mkdir(parents=True)
    (tmp_path / "broken" / "artifact_pipeline" / "__init__.py").write_text("import nope\n")
    for name, words, path, message in (
        ("plain", ("--nthreads", "1"), (), "numeric profile .*: BLAS computes for|PYTHONHASHSEED"),
        ("wide", (*dask.PRELOAD, "--nthreads", "2"), (), "has 2 threads, and a fit"),
        ("old", (*dask.PRELOAD, "--nthreads", "1"), (tmp_path / "old",),
         "has scipy 1.0, and the trainer has"),
        ("broken", ("--nthreads", "1"), (tmp_path / "broken",), "cannot import this package"),
    ):  # fmt: skip
        with (
            dask.scheduler(tmp_path) as address,
            dask.worker(address, tmp_path, *words, name=name, path=path),
            pytest.raises(EnvironmentFailure, match=message) as caught,
        ):
            api.train(LOGISTIC, store=tmp_path / "s", engine="dask", scheduler=address)
        place = caught.value.location.file
        assert place.startswith("the Dask worker ")
        assert name in place or name == "broken"
        assert caught.value.remedy


@pytest.mark.slow
def test_workers_that_are_killed_lose_nothing(tmp_path):
    """The workers that are killed hold the only copies of the rows."""
    search = {"params": {"model__C": [10.0**power for power in range(-6, 6)]}, "cv": 5}
    config = {**LOGISTIC, "search": search}
    expected = api.train(config, store=tmp_path / "here").digest
    kills = tmp_path / "kills"
    kills.mkdir()
    (kills / "counts").write_text("3 20 35")
    words = (*dask.PRELOAD, "--preload", dask_kills.__name__, "--nthreads", "1")
    env = {dask_kills.KILLS_ENV_VAR: str(kills)}
    with (
        dask.scheduler(tmp_path) as address,
        dask.worker(address, tmp_path, *words, name="one", env=env),
        dask.worker(address, tmp_path, *words, name="two", env=env),
    ):
        run = api.train(config, store=tmp_path / "s", engine="dask", scheduler=address)
    assert run.digest == expected
    assert len(list(kills.glob("killed at *"))) == 3


@pytest.mark.slow
def test_ctrl_c_ends_the_workers_too(tmp_path):
    config = {**LOGISTIC, "search": {"params": {"model__C": [1.0 + n for n in range(400)]}}}
    env = environment() | {"PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "artifact_pipeline", "train", write(tmp_path, config),
               "--engine", "dask"]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=tmp_path, env=env, start_new_session=True, stderr=subprocess.PIPE
    )
    workers = until(lambda: dask.spawned(lambda fields: int(fields[3]) == process.pid))
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=HANG)
    assert process.returncode == 130
    assert b"Traceback" not in err
    until(lambda: not any(alive(pid) for pid in workers))
    assert not (tmp_path / "artifacts" / "index").exists()


def test_a_scheduler_needs_the_engine(tmp_path):
    for function in (api.run, api.train):
        with pytest.raises(CallError, match=r"--scheduler: needs --engine dask"):
            function("missing.json", store=tmp_path, scheduler="tcp://127.0.0.1:1")
        with pytest.raises(CallError, match="--engine: found 'spark', expected local or dask"):
            function("missing.json", store=tmp_path, engine="spark")


def test_the_package_is_missing_before_anything_is_read(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingDependency, match=r"distributed is not installed.*\[dask\]"):
        api.train("missing.json", store=tmp_path, engine="dask")


def test_a_model_without_a_search_or_folds_is_trained_here_and_that_is_reported(tmp_path):
    run = api.train(QUICK, store=tmp_path, engine="dask", scheduler="tcp://127.0.0.1:1")
    assert any("nothing ran on the Dask cluster" in warning for warning in run.warnings)


@pytest.mark.slow
def test_a_scheduler_that_is_not_there_is_reported(tmp_path):
    config = {**QUICK, "evaluation": {"cv": 2}}
    with socket.create_server(("127.0.0.1", 0)) as silent, strange_server() as strange:
        for address, problem in (
            ("tcp://127.0.0.1:1", "Timed out trying to connect"),
            ("nope", "missing port number"),
            ("http://127.0.0.1:8787", "unknown address scheme"),
            (f"tcp://127.0.0.1:{silent.getsockname()[1]}", "another kind of server is there"),
            (f"tcp://127.0.0.1:{strange}", "another kind of server is there"),
        ):
            with pytest.raises(NetworkError, match=f"cannot be reached: {problem}"):
                api.train(config, store=tmp_path, engine="dask", scheduler=address)


@contextmanager
def strange_server():
    """A server that answers at once, as no Dask scheduler does; yields its port."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" + b"x" * 10_000)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()
