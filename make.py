"""Set up .venv from the pinned requirements, then do one job in it.

    python make.py run      the main job: test, train, inference on config/config.json
    python make.py test     the default test suite; with --slow all tests, and a skip is a failure
    python make.py check    formatting, lint, types, import layers, workflows, the site

It uses only the standard library, because it runs before anything is installed.
"""

import sys

if sys.version_info < (3, 11):  # before any syntax or import that an older Python lacks
    sys.exit("make.py: needs Python 3.11 or newer; install one and call it: python3.11 make.py")

import hashlib
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")

WORKFLOWS = [str(path) for path in sorted((ROOT / ".github" / "workflows").glob("*.yml"))]
REQUIREMENTS = {
    "run": ("requirements.txt", "requirements-build.txt"),
    "test": ("requirements-dev.txt",),
    "check": ("requirements-dev.txt",),
}
COMMANDS = {
    "run": [["artifact-pipeline", "run"]],
    "test": [["python", "-m", "pytest", "tests/", "-n2", "--dist=loadfile"]],
    "check": [
        ["ruff", "check"],
        ["ruff", "format", "--check"],
        ["mypy"],
        ["lint-imports"],
        ["zizmor", "--persona=auditor", "--offline", "--quiet", ".github", "action.yml"],
        ["check-jsonschema", "--builtin-schema=vendor.github-workflows", *WORKFLOWS],
        ["check-jsonschema", "--builtin-schema=vendor.github-actions", "action.yml"],
        ["check-jsonschema", "--builtin-schema=vendor.dependabot", ".github/dependabot.yml"],
        ["mkdocs", "build", "--quiet"],  # strict, into site/
    ],
}


def fingerprint(files: tuple[str, ...]) -> str:
    """Return a digest of the inputs of an environment; another Python or pin changes it."""
    made_from = [sys.version, str(ROOT), *((ROOT / f).read_text("utf-8") for f in files)]
    made_from.append((ROOT / "pyproject.toml").read_text("utf-8"))
    return hashlib.sha256("\0".join(made_from).encode()).hexdigest()


def set_up(job: str) -> None:
    """Install the pinned requirements of `job` and the project into .venv, unless it has them."""
    files = REQUIREMENTS[job]
    # A test environment has everything that a run needs, so a run after a test installs nothing.
    stamps = {name: VENV / f"{name}.stamp" for name in REQUIREMENTS}
    accepted = ("run", "test") if job == "run" else ("test",)
    for name in accepted:
        stamp = stamps[name]
        if stamp.exists() and stamp.read_text("utf-8") == fingerprint(REQUIREMENTS[name]):
            return
    made_by = VENV / "python.stamp"
    if not PYTHON.exists() or not made_by.exists() or made_by.read_text("utf-8") != sys.version:
        say("making .venv")
        make_venv()
        made_by.write_text(sys.version, "utf-8")
    pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    say(f"installing {' and '.join(files)} (once; later calls start at once)")
    call([*pip, "--require-hashes", *(word for f in files for word in ("-r", f))])
    call([*pip, "--no-deps", "--no-build-isolation", "--editable", "."])
    stamps["run" if job == "run" else "test"].write_text(fingerprint(files), "utf-8")


def make_venv() -> None:
    try:
        import venv

        venv.create(VENV, clear=True, with_pip=True)
    except (ImportError, subprocess.CalledProcessError):
        sys.exit(
            "make.py: this Python has no working venv module; on Debian and Ubuntu: "
            f"apt install python{sys.version_info[0]}.{sys.version_info[1]}-venv"
        )


def call(command: list[str]) -> None:
    """Run `command` in the root and end with its exit code if it fails."""
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    if code:
        sys.exit(code)


def say(text: str) -> None:
    print(f"make.py: {text}", file=sys.stderr, flush=True)


def main(arguments: list[str]) -> None:
    job, *options = arguments or [""]
    if job not in COMMANDS or options not in ([], ["--slow"]) or (options and job != "test"):
        sys.exit("usage: python make.py run | test [--slow] | check")
    set_up(job)
    os.environ["NO_MKDOCS_2_WARNING"] = "1"  # the pins keep mkdocs and its theme together
    for command in COMMANDS[job]:
        call([str(BIN / command[0]), *command[1:], *options])


if __name__ == "__main__":
    main(sys.argv[1:])
