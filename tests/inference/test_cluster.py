"""Predictions on a Dask cluster of processes: the bytes of one machine, whatever is killed."""

import os
import signal
import subprocess
import sys
import threading

import pytest

import artifact_pipeline as api
from artifact_pipeline.errors import CallError, DataError, EnvironmentFailure, NetworkError
from artifact_pipeline.inference import cluster as clusters
from tests.inference.test_infer_files import make_table, scored, write
from tests.support import dask
from tests.support.command import call, environment
from tests.support.configs import ROOT
from tests.support.waiting import HANG, until

__all__ = ["scored"]  # the fixture


def write_parts(folder, *, count, rows):
    """Write parts of equal size, and an empty one."""
    for index in range(count):
        part = make_table(rows, seed=index) if index != 2 else make_table(rows).slice(0, 0)
        write(part, folder / f"{index:02}.parquet")


def contents(folder):
    """Return the bytes of each file in a folder by its path in it."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.slow
def test_a_local_cluster_gives_the_bytes_of_one_machine(scored, tmp_path):
    _, artifact = scored
    write_parts(tmp_path / "rows", count=4, rows=500)
    api.infer_files(artifact, tmp_path / "rows", output=tmp_path / "one")
    # Without the hook that ends a process which unpickles: Dask's messages are pickles.
    env = {"PYTHONPATH": str(ROOT / "src")}
    words = ("infer", artifact, "rows", "-o", "many", "--engine", "dask")
    done = call(*words, cwd=tmp_path, env=env)
    assert done.code == 0, done.err
    assert "wrote 1500 predictions of" in done.out and "in 4 files" in done.out
    assert contents(tmp_path / "many") == contents(tmp_path / "one")


def running(client):
    """Return the processes of the workers; one that was just killed does not answer."""
    return set(client.run(os.getpid, on_error="ignore").values())


@pytest.mark.slow
def test_a_killed_worker_loses_and_doubles_nothing(scored, tmp_path):
    from distributed import Client, LocalCluster

    _, artifact = scored
    write_parts(tmp_path / "rows", count=24, rows=30_000)
    whole = api.infer_files(artifact, tmp_path / "rows", output=tmp_path / "one")
    reports = tmp_path / ".many.partial" / ".reports"
    results = []
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit=None
        ) as cluster,
        Client(cluster) as client,
    ):
        thread = threading.Thread(
            target=lambda: results.append(
                api.infer_files(
                    artifact,
                    tmp_path / "rows",
                    output=tmp_path / "many",
                    engine="dask",
                    scheduler=cluster.scheduler_address,
                )
            )
        )
        thread.start()
        killed = set()
        for count in (1, 6, 12):
            until(lambda n=count: len(list(reports.glob("*.json"))) >= n or not thread.is_alive())
            pids = until(lambda: running(client) - killed)
            os.kill(min(pids), signal.SIGKILL)
            killed.add(min(pids))
        thread.join()
    assert results[0].tally == whole.tally
    assert contents(tmp_path / "many") == contents(tmp_path / "one")


@pytest.mark.slow
def test_errors_of_rows_and_workers_reach_the_caller(scored, tmp_path, monkeypatch):
    from distributed import LocalCluster

    _, artifact = scored
    write_parts(tmp_path / "rows", count=2, rows=10)
    with LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address=None, memory_limit=None
    ) as cluster:
        nanny = cluster.workers[0]
        for place, kind in ((nanny.worker_address, "worker"), (nanny.address, "nanny")):
            with pytest.raises(NetworkError, match=f"{place}: .* cannot be reached: a {kind} is"):
                api.infer_files(
                    artifact,
                    tmp_path / "rows",
                    output=tmp_path / "out",
                    engine="dask",
                    scheduler=place,
                )
        address = {"engine": "dask", "scheduler": cluster.scheduler_address}
        table = make_table(10)
        texts = table.set_column(1, "a", [["x"] * 10])
        write(texts, tmp_path / "rows" / "00.parquet")
        with pytest.raises(DataError, match=r"00\.parquet, row 1, column 'a': found 'x'"):
            api.infer_files(artifact, tmp_path / "rows", output=tmp_path / "out", **address)
        versions = {**clusters.package_versions(), "onnxruntime": "0.1"}
        monkeypatch.setattr(clusters, "package_versions", lambda: versions)
        with pytest.raises(EnvironmentFailure, match=r"worker tcp://.* has onnxruntime .*has 0\.1"):
            api.infer_files(artifact, tmp_path / "rows", output=tmp_path / "out", **address)


def test_what_a_cluster_cannot_do_is_refused(scored, tmp_path):
    _, artifact = scored
    write_parts(tmp_path / "rows", count=1, rows=10)
    with pytest.raises(CallError, match="predicts a folder of parts into a folder"):
        api.infer_files(artifact, tmp_path / "rows", output=tmp_path / "out.csv", engine="dask")
    with pytest.raises(CallError, match="needs --engine dask"):
        api.infer_files(
            artifact, tmp_path / "rows", output=tmp_path / "out", scheduler="tcp://127.0.0.1:1"
        )
    with pytest.raises(NetworkError, match="the Dask scheduler cannot be reached"):
        api.infer_files(
            artifact, tmp_path / "rows", output=tmp_path / "out", engine="dask", scheduler="nope"
        )


@pytest.mark.slow
def test_ctrl_c_is_clean_while_a_local_cluster_starts(scored, tmp_path):
    _, artifact = scored
    write_parts(tmp_path / "rows", count=4, rows=500)
    command = [sys.executable, "-m", "artifact_pipeline", "infer", artifact, "rows", "-o", "out",
               "--engine", "dask"]  # fmt: skip
    env = environment() | {"PYTHONPATH": str(ROOT / "src")}
    process = subprocess.Popen(
        command, cwd=tmp_path, env=env, start_new_session=True, stderr=subprocess.PIPE
    )
    until(lambda: dask.spawned(lambda fields: int(fields[3]) == process.pid))
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=HANG)
    assert process.returncode == 130
    assert err.decode().split() == "interrupted; stored artifacts are unchanged".split()
    assert not (tmp_path / "out").exists()
