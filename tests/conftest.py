"""What tests share: a scratch project, the command line as a process, and one sealed artifact."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import settings

import artifact_pipeline
from artifact_pipeline.builder import canonical

# A law holds however long the machine takes to try it.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

ROOT = Path(__file__).resolve().parents[1]
SHORT = {"C": 1.0, "solver": "lbfgs", "max_iter": 1000, "random_state": 42, "test_size": 0.2}
# Bayes fits in no time: for what is about the pipeline and not about the model.
QUICK = {
    "data": {"dataset": "iris"},
    "model": {"estimator": "sklearn.naive_bayes.GaussianNB", "params": {}},
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run all tests; a skip is a failure")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--slow"):
        slow = [item for item in items if item.get_closest_marker("slow")]
        items[:] = [item for item in items if item not in slow]
        config.hook.pytest_deselected(items=slow)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    # One of two processes has no reporter: it tells the other what it skipped.
    if session.config.getoption("--slow") and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


class Done(NamedTuple):
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def call(*words: Any, cwd: Path, env: dict[str, str] | None = None, stdin: bytes = b"") -> Done:
    """Run `artifact-pipeline` with these words as a user would, and return what came of it."""
    return script("-m", "artifact_pipeline", *words, cwd=cwd, env=env, stdin=stdin)


def script(*words: Any, cwd: Path, env: dict[str, str] | None = None, stdin: bytes = b"") -> Done:
    """Run Python with these words, the checkout's package on its path.

    The hook of tests/audit is there too: it ends a process that unpickles what it should not.
    """
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests" / "audit")])
    outer = {**os.environ, "PYTHONPATH": path, "PYTHONUTF8": "1", **(env or {})}
    done = subprocess.run(
        [sys.executable, *map(str, words)], cwd=cwd, env=outer, input=stdin, capture_output=True
    )
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


def trainer_of(parent: int) -> int | None:
    """Return the process that trains for `parent`, if there is one; Linux alone has /proc."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
                ppid = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if ppid == parent and b"training.worker" in line:
                return int(entry.name)
    return None


@pytest.fixture(autouse=True, scope="session")
def _own_state(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Keep what this checkout remembers out of the user's state folder."""
    state = str(tmp_path_factory.mktemp("state"))
    names = ("XDG_STATE_HOME", "LOCALAPPDATA", "HOME")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, state))
    os.environ.pop("ARTIFACT_PIPELINE_STORE", None)
    yield
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with the assignment's config, which is the working folder."""
    (tmp_path / "config").mkdir()
    shutil.copy(ROOT / "config" / "config.json", tmp_path / "config")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, config: Any, name: str = "config.json") -> Path:
    """Write a config, or the text or bytes of one, and return its path."""
    path = folder / name
    if isinstance(config, bytes):
        path.write_bytes(config)
    else:
        path.write_text(config if isinstance(config, str) else json.dumps(config), "utf-8")
    return path


class Sealed(NamedTuple):
    """A store with the digits artifact in it."""

    store: Path
    folder: Path
    digest: str
    run: dict[str, Any]


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    """The artifact of config/config.json; do not write to it."""
    folder = tmp_path_factory.mktemp("digits")
    done = call("run", write(folder, SHORT), "--json", cwd=folder)
    assert done.code == 0, done.err
    return Sealed(
        folder / "artifacts", folder / done.json["artifact"], done.json["digest"], done.json
    )


def reseal(folder: Path, name: str, data: bytes) -> str:
    """Put other bytes into an artifact under a manifest that vouches for them, as an attacker may.

    Returns the digest of what it is now.
    """
    (folder / name).write_bytes(data)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    for file in manifest["files"]:
        if file["path"] == name:
            file.update(sha256=canonical.digest(data), bytes=len(data))
    (folder / "manifest.json").write_bytes(canonical.encode(manifest))
    return canonical.digest(canonical.encode(manifest))


@pytest.fixture
def copied(digits: Sealed, tmp_path: Path) -> Path:
    """A copy of the digits artifact, to be broken."""
    return Path(shutil.copytree(digits.folder, tmp_path / "artifact"))


def pair(folder: Path, name: str, key: Any = None, lock: Any = None) -> Any:
    """Write a private and a public key, an elliptic one unless one is given, and return it."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    pem, lock = serialization.Encoding.PEM, lock or serialization.NoEncryption()
    key = key or ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, lock)
    (folder / f"{name}.pem").write_bytes(private)
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / f"{name}.pub").write_bytes(public)
    return key


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the key pairs `ours` and `other`."""
    folder = tmp_path_factory.mktemp("keys")
    pair(folder, "ours")
    pair(folder, "other")
    return folder


@pytest.fixture
def signed(copied: Path, keys: Path) -> Path:
    """A copy of the digits artifact, signed by `ours`."""
    artifact_pipeline.sign(copied, key=keys / "ours.pem")
    return copied
