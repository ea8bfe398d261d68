"""Copy the files to STANDINS/artifacts/NAME, below the folder that they share."""

import hashlib
import os
import shutil
from pathlib import Path

from commands import SERVICES, fail, output, read, read_boolean, warn
from patterns import find

IN_NO_PATH = '":<>|*?\r\n'
IN_NO_NAME = IN_NO_PATH + "\\/"


def main() -> None:
    name = read("name")
    patterns = read("path", required=True)
    overwrite = read_boolean("overwrite")
    hidden = read_boolean("include-hidden-files")
    if_none = read("if-no-files-found")
    if if_none not in ("warn", "error", "ignore"):
        fail(f"Unrecognized if-no-files-found input. Provided: {if_none}.")
    days = read("retention-days")
    if days and not days.isdecimal():
        fail("Invalid retention-days")
    try:
        paths, search_paths = find(patterns, hidden=hidden)
    except ValueError as error:
        fail(str(error))
    files = [Path(path) for path in paths if not Path(path).is_dir()]
    if not files:
        message = f"No files were found with the provided path: {patterns}. "
        message += "No artifacts will be uploaded."
        {"warn": warn, "error": fail, "ignore": print}[if_none](message)
        return
    keep(name, files, shared_folder(search_paths, files), overwrite=overwrite)
    (SERVICES / "artifacts" / f"{name}.days").write_text(days or "0")


def shared_folder(search_paths: list[str], files: list[Path]) -> Path:
    """Return the folder below which the files keep their paths."""
    if len(search_paths) > 1:
        return Path(os.path.commonpath(search_paths))
    if [str(path) for path in files] == search_paths:
        return files[0].parent
    return Path(search_paths[0])


def keep(name: str, files: list[Path], shared: Path, *, overwrite: bool) -> None:
    if problem := next((sign for sign in IN_NO_NAME if sign in name), ""):
        fail(f"The artifact name is not valid: {name}. Contains the character: {problem!r}")
    for path in files:
        if any(sign in str(path.relative_to(shared)) for sign in IN_NO_PATH):
            fail(f"The path for one of the files in artifact is not valid: {path}.")
    target = SERVICES / "artifacts" / name
    if target.exists() and not overwrite:
        fail("Failed to CreateArtifact: (409) Conflict: "
             "an artifact with this name already exists on the workflow run")  # fmt: skip
    shutil.rmtree(target, ignore_errors=True)
    digest = hashlib.sha256()
    for path in files:
        copy = target / path.relative_to(shared)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)  # as a zip does: the contents, without the permissions
        copy.chmod(0o644)
        digest.update(path.read_bytes())
    output("artifact-id", str(len(files)))
    output("artifact-digest", digest.hexdigest())


main()
