"""Copy STANDINS/repositories/OWNER/NAME@REF into the workspace, without its history."""

import os
import shutil
from pathlib import Path

from commands import SERVICES, fail, output, read, read_boolean, read_lines


def main() -> None:
    repository, ref = read("repository"), read("ref")
    read_boolean("persist-credentials")
    workspace = Path(os.environ["GITHUB_WORKSPACE"]).resolve()
    target = (workspace / read("path")).resolve()
    if not target.is_relative_to(workspace):
        fail(f"Repository path '{target}' is not under '{workspace}'")
    if repository.count("/") != 1:
        fail(f"Invalid repository '{repository}'. Expected format {{owner}}/{{repo}}.")
    if target == workspace:
        fail("the stand-in only checks out beside the repository of the run")
    source = SERVICES / "repositories" / f"{repository}@{ref}"
    if not source.is_dir():
        fail(f"repository '{repository}' has no commit '{ref}' here")
    folders = read_lines("sparse-checkout")
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for path in source.iterdir():
        if path.is_file():
            shutil.copy(path, target)
        elif path.name != ".git" and (not folders or path.name in folders):
            shutil.copytree(path, target / path.name)
    output("commit", ref)


main()
