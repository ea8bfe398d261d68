"""Set up the Python of the tests, and hold `cache` to what the real action asks for."""

import os
from pathlib import Path

from commands import SERVICES, fail, output, read, read_boolean, read_lines, warn
from patterns import find

VERSION = (SERVICES / "bin" / "version").read_text("utf-8")


def main() -> None:
    versions = read_lines("python-version")
    if not versions and Path(".python-version").exists():
        versions = Path(".python-version").read_text("utf-8").split()
    update_environment = read_boolean("update-environment")
    if not versions:
        warn("The `python-version` input is not set.")
        return
    if update_environment:
        with Path(os.environ["GITHUB_PATH"]).open("a", encoding="utf-8") as file:
            file.write(f"{SERVICES / 'bin'}\n")
    output("python-version", VERSION)
    output("python-path", str(SERVICES / "bin" / "python"))
    match read("cache"):
        case "":
            pass
        case "pip":
            check_dependencies(read("cache-dependency-path") or "**/requirements.txt")
            output("cache-hit", "false")
        case other:
            fail(f"Caching for '{other}' is not supported")


def check_dependencies(patterns: str) -> None:
    """End the step unless a file inside the workspace matches: only those can be a cache's key."""
    fallback = "**/pyproject.toml"
    workspace = os.environ["GITHUB_WORKSPACE"] + os.sep
    for each in (patterns, fallback):
        paths = find(each).paths
        if any(path.startswith(workspace) and not Path(path).is_dir() for path in paths):
            return
    listed = ",".join(patterns.split("\n"))
    fail(
        f"No file in {Path.cwd()} matched to [{listed} or {fallback}], "
        "make sure you have checked out the target repository"
    )


main()
