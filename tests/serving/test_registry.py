"""Moved aliases, restarted workers and shutdown."""

import contextlib
import os
import shutil
import signal
import sys
import threading

import pytest
from benchmarks.serving.soak import workers_of

from tests.support.command import call, script
from tests.support.configs import SHORT, write
from tests.support.server import serving, tensor
from tests.support.waiting import HANG, alive, until

INFER = "/v2/models/model/infer"
READY = "/v2/health/ready"
ROW = [float(i % 17) for i in range(64)]
ONE = {"inputs": [tensor([ROW])]}


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A store of two models, and their digests: the first and the second."""
    folder = tmp_path_factory.mktemp("two")
    digests = []
    for change in ({}, {"C": 0.01}):
        config = write(folder, {**SHORT, **change})
        digests.append(call("train", config, "--json", cwd=folder).json["digest"])
    return folder, digests


@pytest.fixture
def store(two, tmp_path):
    """A copy of the store, and its digests; `champion` names the first."""
    folder, digests = two
    shutil.copytree(folder / "artifacts", tmp_path / "artifacts")
    move(tmp_path, digests[0])
    return tmp_path, digests


def move(folder, digest):
    """Let the alias name a digest; no reader finds half of it."""
    alias = folder / "artifacts" / "aliases" / "champion"
    new = folder / "champion.new"
    new.write_text(f"{digest}\n", "utf-8")
    new.replace(alias)


def answers(server):
    """Return whether a worker answers; none listens while all of them start again."""
    try:
        return server.get(READY).status == 200
    except OSError:
        return False


def accepts(server):
    try:
        server.connect().close()
    except ConnectionError:
        return False
    return True


def digests_of(server, count):
    """Return which artifacts answer when `count` requests are sent."""
    return {server.post(INFER, ONE).headers["artifact-digest"] for _ in range(count)}


@pytest.mark.slow
def test_a_moved_alias_is_followed(store):
    folder, (first, second) = store
    with serving("champion", cwd=folder) as server:
        assert server.post(INFER, ONE).headers["artifact-digest"] == first
        seen = []
        stop = threading.Event()

        def ask():
            while not stop.is_set():
                found = server.post(INFER, ONE)
                said = found.json
                value = said["outputs"][1]["data"][0]
                named = found.headers["artifact-digest"]
                seen.append((found.status, named, said["model_version"], value))

        asking = threading.Thread(target=ask)
        asking.start()
        move(folder, second)
        until(lambda: server.post(INFER, ONE).headers["artifact-digest"] == second)
        stop.set()
        asking.join()
        assert {status for status, *_ in seen} == {200}
        # Which artifact an answer names is the one that it is of.
        both = {(first, first), (second, second)}
        assert {(named, version) for _, named, version, _ in seen} <= both
        assert len({(named, value) for _, named, _, value in seen}) <= 2


@pytest.mark.slow
def test_an_artifact_that_does_not_verify_is_rejected_and_reported(store):
    folder, (first, second) = store
    model = folder / "artifacts" / second.removeprefix("sha256:") / "model.onnx"
    good = model.read_bytes()
    model.write_bytes(good[:-1] + b"\0")
    with serving("champion", cwd=folder) as server:
        move(folder, second)
        until(lambda: server.get(READY).json["refused"])
        ready = server.get(READY).json
        assert ready["ready"] is True and ready["models"] == {"model": first}
        assert ready["refused"]["model"]["artifact"] == second
        assert "was changed" in ready["refused"]["model"]["why"]
        until(lambda: server.counted('model_refused{model="model"}') == 1)
        assert server.post(INFER, ONE).headers["artifact-digest"] == first
        move(folder, first)
        until(lambda: not server.get(READY).json["refused"])
        until(lambda: server.counted('model_refused{model="model"}') == 0)
        (folder / "artifacts" / "aliases" / "champion").unlink()
        until(lambda: server.get(READY).json["refused"])
        assert server.post(INFER, ONE).headers["artifact-digest"] == first


@pytest.mark.slow
def test_a_pinned_artifact_stays(store):
    folder, (first, second) = store
    with serving("champion", "--digest", first, cwd=folder) as server:
        move(folder, second)
        until(lambda: server.get(READY).json["refused"])
        assert server.post(INFER, ONE).headers["artifact-digest"] == first


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
def test_workers_restart_and_share_their_counters(store):
    folder, (first, second) = store
    with serving("champion", "--workers", 2, cwd=folder) as server:
        until(lambda: len(workers_of(server.process.pid)) == 2)
        for _ in range(40):
            assert server.post(INFER, ONE).status == 200
        count = 'requests_total{model="model",code="200"}'
        assert server.counted(count) == 40
        # The alias moves to an artifact that does not verify: new workers serve the old one.
        model = folder / "artifacts" / second.removeprefix("sha256:") / "model.onnx"
        good = model.read_bytes()
        model.write_bytes(good[:-1] + b"\0")
        move(folder, second)
        for pid in workers_of(server.process.pid):
            os.kill(pid, signal.SIGKILL)
            until(lambda pid=pid: not alive(pid))
        until(lambda: len(workers_of(server.process.pid)) == 2)
        until(lambda: answers(server))
        answered = server.counted(count)
        for _ in range(20):
            assert server.post(INFER, ONE).headers["artifact-digest"] == first
        assert server.counted(count) == answered + 20
        # Once it is intact again, every worker loads it.
        model.write_bytes(good)
        move(folder, first)
        until(lambda: not any(server.get(READY).json["refused"] for _ in range(20)))
        move(folder, second)
        until(lambda: digests_of(server, 40) == {second})


@pytest.mark.slow
def test_a_replaced_version_is_unknown(store):
    folder, (first, second) = store
    path = f"/v2/models/model/versions/{first}/infer"
    with serving("champion", cwd=folder) as server:
        assert server.post(path, ONE).json["model_version"] == first
        move(folder, second)
        until(lambda: server.post(path, ONE).status == 404)
        assert second in server.post(path, ONE).json["error"]
        assert server.post(INFER, ONE).json["model_version"] == second


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
def test_workers_restart_after_repeated_kills(store):
    folder, (first, _) = store
    with serving("champion", "--workers", 2, cwd=folder) as server:
        for _ in range(4):
            for pid in until(lambda: workers_of(server.process.pid)):
                with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
                    os.kill(pid, signal.SIGKILL)
        until(lambda: len(workers_of(server.process.pid)) == 2)
        until(lambda: answers(server))
        assert digests_of(server, 1) == {first}
        server.process.terminate()
        assert server.process.wait(HANG) == 0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
def test_a_worker_that_dies_breaks_its_connections_and_is_replaced(store):
    folder, (first, _) = store
    with serving("champion", cwd=folder) as server:
        [worker] = workers_of(server.process.pid)
        with server.connect() as sock:
            sock.sendall(f"POST {INFER} HTTP/1.1\r\nHost: localhost\r\n".encode())
            server.taken(sock)
            os.kill(worker, signal.SIGKILL)
            with contextlib.suppress(ConnectionResetError):
                assert sock.recv(1) == b""
        until(lambda: answers(server))
        assert digests_of(server, 1) == {first}
        assert workers_of(server.process.pid) != [worker]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
def test_workers_end_with_their_server(store):
    folder, _ = store
    with serving("champion", "--workers", 2, cwd=folder) as server:
        until(lambda: len(workers_of(server.process.pid)) == 2)
        workers = workers_of(server.process.pid)
        server.process.kill()
        until(lambda: not any(alive(pid) for pid in workers))


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM")
@pytest.mark.parametrize("workers", [1, 2])
def test_accepted_requests_finish_before_shutdown(store, workers):
    folder, _ = store
    with serving("champion", "--workers", workers, "--deadline", HANG, cwd=folder) as server:
        until(lambda: server.get(READY).status == 200)
        body = b'{"rows": [[' + b",".join([b"1.0"] * 64) + b"]]}"
        head = (
            "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        with server.connect() as sock:
            sock.sendall(head.encode() + body[:20])
            server.taken(sock)
            server.process.terminate()
            until(lambda: not accepts(server))
            sock.sendall(body[20:])
            assert sock.recv(2000).startswith(b"HTTP/1.1 200")
        assert server.process.wait(HANG) == 0


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM")
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("wanted", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_at_startup_ends_the_server(store, workers, wanted):
    folder, _ = store
    with serving("champion", "--workers", workers, cwd=folder) as server:
        server.process.send_signal(wanted)
        assert server.process.wait(HANG) == 0


STOP_IN_ANOTHER_THREAD = """
import signal, sys, threading, time
import artifact_pipeline

def stop(url):
    main = threading.main_thread().ident
    while sys._current_frames()[main].f_code.co_name != "select":
        time.sleep(0.001)
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

if __name__ == "__main__":
    model = artifact_pipeline.ModelSpec(name="model", artifact="champion")
    artifact_pipeline.serve(artifact_pipeline.ServerOptions(models=(model,), port=0), stop)
    print("ended")
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM")
def test_a_signal_that_does_not_interrupt_the_main_thread_ends_the_server(store):
    """A signal just before the main thread waits does not interrupt it either."""
    folder, _ = store
    (folder / "stop.py").write_text(STOP_IN_ANOTHER_THREAD)
    done = script(folder / "stop.py", cwd=folder)
    assert (done.code, done.out) == (0, "ended\n"), done.err
