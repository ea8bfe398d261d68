"""The workflows in a scratch repository, executed by act with stand-ins for GitHub's services."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

from tests.support.configs import ROOT

STANDINS = Path(__file__).with_name("standins")
TRACKED = (
    *("src", "config", "action.yml", ".github", "pyproject.toml"),
    *(path.name for path in ROOT.glob("requirements*.txt")),
)
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
SHARED = ("commands.py", "patterns.py")
PYTHON = f"""#!/bin/sh
# The Python that setup-python finds. An environment made with it borrows the libraries of the
# tests, so that pip finds each pinned requirement there and downloads nothing.
"{sys.executable}" "$@" || exit
case " $* " in *" -m venv "*)
    for folder; do true; done
    for packages in "$folder"/lib/python*/site-packages; do
        echo "{sysconfig.get_path("purelib")}" > "$packages/libraries.pth"
    done
esac
"""


class Result(NamedTuple):
    """A workflow that has run."""

    code: int
    log: str


class Repository:
    """A scratch repository, and the folder that stands for GitHub's services."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "repository"
        self.services = folder / "services"
        self.home = folder / "home"
        self._actions = folder / "actions"
        for name in ("cache", "artifacts", "bin"):
            (self.services / name).mkdir(parents=True)
        self.home.mkdir()
        python = self.services / "bin" / "python"
        python.write_text(PYTHON)
        python.chmod(0o755)
        (self.services / "bin" / "version").write_text(platform.python_version())
        self.folder.mkdir()
        for name in TRACKED:
            source = ROOT / name
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source, self.folder / name, ignore=ignored)
            else:
                shutil.copy(source, self.folder)
        (self.folder / "tests").mkdir()
        self.write("tests/test_it.py", "def test_it():\n    assert True\n")
        git("init", "-q", "-b", "main", cwd=self.folder)
        for standin in STANDINS.iterdir():
            if (standin / "action.yml").exists() or standin.name == "cache":
                shutil.copytree(standin, self._actions / standin.name)
                for name in SHARED:
                    shutil.copy(STANDINS / name, self._actions / standin.name)
                git("init", "-q", cwd=self._actions / standin.name)
                commit(self._actions / standin.name)
        self.commit()

    def write(self, name: str, text: str) -> None:
        """Write a file of the repository."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")

    def commit(self) -> None:
        """Commit all that is there."""
        commit(self.folder)

    def between(self, script: str) -> None:
        """Let a shell script run on the artifact's folder, `$1`, before it is downloaded."""
        path = self.services / "between"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def artifacts(self) -> list[str]:
        """Return the names of what was put up."""
        kept = (self.services / "artifacts").iterdir()
        return sorted(path.name for path in kept if path.is_dir())

    def act(self, event: str, workflow: str, *words: str) -> Result:
        """Run a workflow as the event would."""
        path = self.folder / ".github" / "workflows" / workflow
        mapped = [
            f"--local-repository={name}@{sha}={self._actions / name.split('/')[1]}"
            for name, sha in sorted(self._uses())
        ]
        env = {**os.environ, "HOME": str(self.home), "XDG_CACHE_HOME": str(self.home / "cache"),
               "XDG_STATE_HOME": str(self.home / "state"), "CI": "true"}  # fmt: skip
        env.pop("PYTHONPATH", None)
        command = [
            find_act(), event, "-W", str(path), "-P", "ubuntu-latest=-self-hosted",
            "--artifact-server-addr", "127.0.0.1", "--cache-server-addr", "127.0.0.1",
            "--action-offline-mode", "--pull=false", "--env", f"STANDINS={self.services}",
            "--env", f"HOME={self.home}", "--env", f"XDG_STATE_HOME={self.home / 'state'}",
            *mapped, *words,
        ]  # fmt: skip
        done = subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True)
        return Result(done.returncode, done.stdout + done.stderr)

    def _uses(self) -> set[tuple[str, str]]:
        files = [*self.folder.glob(".github/workflows/*.yml"), ROOT / "action.yml", *WORKFLOWS]
        text = "\n".join(path.read_text("utf-8") for path in files)
        return {
            (name, sha)
            for name, sha in re.findall(r"uses: (actions/[\w-]+)(?:/\w+)?@([0-9a-f]{40})", text)
        }


def find_act() -> str:
    """Return act of this environment, or of the path; an empty text if there is none."""
    beside = Path(sys.executable).with_name("act")
    return str(beside) if beside.exists() else shutil.which("act") or ""


def git(*words: str, cwd: Path) -> None:
    """Run git in a folder."""
    identity = ("-c", "user.name=tests", "-c", "user.email=tests@localhost")
    subprocess.run(["git", *identity, *words], cwd=cwd, check=True, capture_output=True)


def commit(folder: Path) -> None:
    """Commit all that is in a folder."""
    git("add", "-A", cwd=folder)
    git("commit", "-qm", "state", "--allow-empty", cwd=folder)
