"""Fixtures that tests share, and the option `--slow`."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

import artifact_pipeline
from artifact_pipeline.disk import file_lock
from tests.support.artifacts import Sealed
from tests.support.command import call
from tests.support.configs import ROOT, SHORT, write
from tests.support.keys import pair
from tests.support.waiting import HANG

# A busy machine must not fail a property test. Each run tries the same examples, so that a change
# fails only for its own faults.
settings.register_profile(
    "repeatable",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("repeatable")

# A shell ignores SIGINT in background processes, and nohup ignores SIGHUP. Processes that the tests
# start would inherit that, but they do not inherit a handler.
for name in ("SIGINT", "SIGHUP"):
    number = getattr(signal, name, None)
    if number is not None and signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, lambda *_: None)


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
    # One of two processes has no reporter, and sends its skips to the other.
    if session.config.getoption("--slow") and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True, scope="session")
def _own_state(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Keep the state of this checkout out of the user's state folder."""
    state = str(tmp_path_factory.mktemp("state"))
    names = ("XDG_STATE_HOME", "LOCALAPPDATA", "HOME")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, state))
    os.environ.pop("ARTIFACT_PIPELINE_STORE", None)
    yield
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})


@pytest.fixture
def memory_kills(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Keep the processes of pytest apart: the system counts the kills for memory of all of them."""
    lock = tmp_path_factory.getbasetemp().parent / "memory-kills.lock"
    with file_lock(lock, "another process uses it", wait=HANG):
        yield


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with the assignment's config, which is the working folder."""
    (tmp_path / "config").mkdir()
    shutil.copy(ROOT / "config" / "config.json", tmp_path / "config")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the code and the config with its own state folder."""
    for name in ("src", "config", "pyproject.toml"):
        source = ROOT / name
        target = tmp_path / "checkout" / name
        if source.is_dir():  # other processes write compiled files meanwhile
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    return tmp_path / "checkout"


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    """The artifact of config/config.json; do not write to it."""
    folder = tmp_path_factory.mktemp("digits")
    done = call("run", write(folder, SHORT), "--json", cwd=folder)
    assert done.code == 0, done.err
    return Sealed(
        folder / "artifacts", folder / done.json["artifact"], done.json["digest"], done.json
    )


@pytest.fixture
def copied(digits: Sealed, tmp_path: Path) -> Path:
    """A copy of the digits artifact, to be broken."""
    return Path(shutil.copytree(digits.folder, tmp_path / "artifact"))


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
