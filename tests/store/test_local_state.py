"""The state folder of a checkout: its place, its errors and its leftovers."""

import os
import platform
import subprocess

import pytest

from artifact_pipeline.store import local_state
from tests.support.command import call


def test_the_state_folder_is_outside_of_the_store(digits):
    assert digits.store.parent not in local_state.folder().parents
    assert {path.name for path in digits.store.iterdir() if len(path.name) < 64} == {
        "aliases", "models", "recipes", "runs", "staging"
    }  # fmt: skip


def test_an_unwritable_state_folder_is_named_with_the_remedy(project):
    (project / "file").write_text("x")
    done = call("recipe", cwd=project, env={"XDG_STATE_HOME": str(project / "file")})
    assert done.code == 5
    assert "XDG_STATE_HOME" in done.err or "file" in done.err
    assert "Traceback" not in done.err


@pytest.mark.skipif(os.name == "nt", reason="a writer's death is told by its signal")
def test_leftovers_of_ended_writers_are_swept_from_the_state_folder():
    dead = subprocess.Popen(["true"])
    dead.wait()
    staging = local_state.folder() / "staging"
    staging.mkdir(parents=True, exist_ok=True)
    left, living = (staging / f"{platform.node()}~{pid}~00" for pid in (dead.pid, os.getpid()))
    for path in (left, living):
        path.write_bytes(b"half")
    local_state.sweep()
    assert living.exists() and not left.exists()
    living.unlink()


@pytest.mark.slow
def test_a_relative_state_home_is_ignored(project):
    """The working folder may belong to anyone, and must not make pickles trusted."""
    home = project / "home"
    env = {"XDG_STATE_HOME": "state", "HOME": str(home), "LOCALAPPDATA": ""}
    assert call("recipe", cwd=project, env=env).code == 0
    assert not (project / "state").exists() and any(home.rglob("configs/*"))
