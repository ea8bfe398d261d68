"""Connections that break: a transfer continues where it broke off."""

import contextlib
import signal
import subprocess
import sys
import threading
import time

import pytest

import artifact_pipeline as api
from artifact_pipeline.builder.canonical import digest
from artifact_pipeline.errors import NetworkError
from artifact_pipeline.remote.transfer import TRANSFERS
from artifact_pipeline.store.store import Store
from tests.remote.conftest import needs_registry
from tests.support.artifacts import variant
from tests.support.command import environment
from tests.support.hostile_registry import HostileRegistry, send
from tests.support.unreliable_network import UnreliableNetwork
from tests.support.waiting import HANG, blocked, until

SIZE = 8 << 20
READ_SECONDS = 30.0
"""How long the client waits for a registry that is silent."""


@pytest.fixture
def large(store, digits):
    """The digest of an artifact of a little more than `SIZE` bytes."""
    text = "".join(map(str, range(1_500_000)))[:SIZE]
    return Store(store).add(variant(digits.folder, text)).digest


@pytest.fixture
def network(registry_host, monkeypatch, tmp_path):
    """Return a network that breaks connections after three quarters of `SIZE`."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "no-docker"))
    port = int(registry_host.partition(":")[2])
    return lambda cuts: UnreliableNetwork(port, cuts=cuts, after=SIZE * 3 // 4)


@needs_registry
def test_a_push_starts_again_where_the_registry_drops_what_it_got(
    network, store, large, tmp_path, elsewhere
):
    """docker-registry 2 answers 404 for an upload whose connection broke."""
    unreliable = network(1)
    with unreliable.serving() as port:
        remote = f"oci://localhost:{port}/cut/{tmp_path.name}"
        pushed = api.push(large, remote, store=store)
        assert unreliable.cuts == 0 and pushed.bytes > SIZE
        assert unreliable.sent < 2 * pushed.bytes
        assert api.pull(remote, store=elsewhere).digest == large


@needs_registry
def test_a_pull_continues_where_the_connection_broke(network, store, large, tmp_path, elsewhere):
    unreliable = network(0)
    with unreliable.serving() as port:
        remote = f"oci://localhost:{port}/cut/{tmp_path.name}"
        api.push(large, remote, store=store)
        unreliable.cuts, unreliable.received = 1, 0
        pulled = api.pull(remote, store=elsewhere)
    assert pulled.digest == large and unreliable.cuts == 0
    assert unreliable.received < pulled.bytes + SIZE // 4


@pytest.mark.slow
def test_a_large_object_is_read_in_parts_at_once_where_a_connection_is_slow(
    s3_environment, store, digits, tmp_path, elsewhere, monkeypatch
):
    """`aws s3 cp` does the same: each connection of a service has a limited rate."""
    for name, value in s3_environment.items():
        monkeypatch.setenv(name, value)
    text = "".join(map(str, range(9_000_000)))[: 7 * SIZE]
    large = Store(store).add(variant(digits.folder, text)).digest
    remote = f"s3://models/{tmp_path.name}"
    api.push(large, remote, store=store)
    port = int(s3_environment["AWS_ENDPOINT_URL"].rpartition(":")[2])
    # The first connection alone is measured, and no part is complete when all of them wait.
    slow = UnreliableNetwork(port, pause=0.001, held_after=20 << 20, together=TRANSFERS + 1)
    with slow.serving() as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://localhost:{proxy}")
        pulled = api.pull(remote, store=elsewhere)
    assert pulled.digest == large and slow.most > TRANSFERS
    assert api.check_integrity(large, store=elsewhere)


@needs_registry
def test_a_network_that_never_holds_ends_with_an_error(network, store, large, tmp_path, elsewhere):
    unreliable = network(1_000)
    with unreliable.serving() as port:
        remote = f"oci://localhost:{port}/cut/{tmp_path.name}"
        unreliable.after = 0
        with pytest.raises(NetworkError):
            api.push(large, remote, store=store)


def test_a_push_continues_where_the_registry_has_received_it(store, digits, tmp_path, monkeypatch):
    """Of four bytes that are sent, this registry keeps one before it breaks the connection."""
    text = "".join(map(str, range(400_000)))
    large = Store(store).add(variant(digits.folder, text))
    with HostileRegistry(digits.folder).serving() as registry:
        uploads = KeptUploads()
        registry.answers = {"uploads/": uploads, "manifests/": uploads.nothing}
        with contextlib.suppress(NetworkError):  # it takes no manifest
            api.push(large.digest, f"oci://{registry.host}/acme/churn", store=store)
    [card] = [file for file in large.manifest.files if file.path == "README.md"]
    assert uploads.starts[:2] == [0, card.bytes // 4]
    assert digest(bytes(uploads.data)) == card.sha256


class KeptUploads:
    """The uploads of a registry. It breaks the first one that has a request of its own."""

    def __init__(self):
        self.data, self.starts = bytearray(), []

    def nothing(self, handler):
        send(handler, 404)

    def __call__(self, handler):
        size = int(handler.headers["Content-Length"] or 0)
        if handler.command == "POST":
            send(handler, 202, Location="/v2/acme/churn/blobs/uploads/1")
        elif handler.command == "PATCH":
            start = int(handler.headers["Content-Range"].partition("-")[0])
            assert start == len(self.data)
            self.starts.append(start)
            if start == 0:
                self.data += handler.rfile.read(size // 4)
                handler.close_connection = True
                return
            self.data += handler.rfile.read(size)
            send(handler, 202, Location=handler.path)
        elif handler.command == "GET":
            send(handler, 204, Location=handler.path, Range=f"0-{len(self.data) - 1}")
        else:
            handler.rfile.read(size)
            send(handler, 201)


def test_an_interrupt_ends_a_pull_from_a_registry_that_has_fallen_silent(digits, tmp_path):
    silence = threading.Event()
    with HostileRegistry(digits.folder).serving() as registry:

        def answer(handler):
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(registry.blobs[registry.model])))
            handler.end_headers()
            silence.set()
            handler.connection.recv(1)  # returns when the client has ended

        registry.answers[f"blobs/{registry.model}"] = answer
        words = [sys.executable, "-m", "artifact_pipeline", "pull"]
        process = subprocess.Popen(
            [*words, f"oci://{registry.host}/acme/churn"],
            cwd=tmp_path, env=environment(DOCKER_CONFIG=str(tmp_path)), stderr=subprocess.PIPE,
        )  # fmt: skip
        assert silence.wait(HANG)
        until(lambda: blocked(process.pid))
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=HANG)
        assert (process.returncode, err.count(b"Traceback")) == (130, 0), err
        assert time.monotonic() - start < READ_SECONDS
    assert not list((tmp_path / "artifacts").glob("staging/*"))
