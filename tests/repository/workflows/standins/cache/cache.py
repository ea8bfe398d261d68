"""Keep files under a key, or bring them back: `python cache.py restore` or `save`."""

import hashlib
import os
import sys
import tarfile
from pathlib import Path
from urllib.parse import quote

from commands import SERVICES, fail, output, read, read_lines, warn
from patterns import find

CACHES = SERVICES / "cache"
WORKSPACE = Path(os.environ["GITHUB_WORKSPACE"])


def main() -> None:
    {"restore": restore, "save": save}[sys.argv[1]]()


def restore() -> None:
    key = read("key", required=True)
    paths = read_lines("path", required=True)
    keys = [key, *read_lines("restore-keys")]
    if len(keys) > 10:
        fail("Key Validation Error: Keys are limited to a maximum of 10.")
    for each in keys:
        if problem := invalid(each):
            fail(problem)
    output("cache-primary-key", key)
    match = find_cache(keys, version(paths))
    if match is None:
        print(f"Cache not found for input keys: {', '.join(keys)}")  # and no output cache-hit
        return
    with tarfile.open(match / "files.tar") as archive:
        archive.extractall(WORKSPACE, filter="fully_trusted")
    matched = (match / "key").read_text("utf-8")
    output("cache-hit", str(matched == key).lower())
    output("cache-matched-key", matched)
    print(f"Cache restored from key: {matched}")


def save() -> None:
    """Save the files; whatever goes wrong is a warning, and the step succeeds."""
    key = read("key", required=True)
    patterns = read_lines("path", required=True)
    try:
        paths = find("\n".join(patterns), descendants=False).paths
    except ValueError as error:
        return warn(str(error))
    folder = CACHES / quote(f"{key}@{version(patterns)}", safe="")
    if not paths:
        return warn("Path Validation Error: Path(s) specified in the action for caching do(es) not "
                    "exist, hence no cache is being saved.")  # fmt: skip
    if problem := invalid(key):
        return warn(problem)
    if folder.exists():
        return warn(f"Failed to save: Unable to reserve cache with key {key}, "
                    "another job may be creating this cache.")  # fmt: skip
    folder.mkdir()
    with tarfile.open(folder / "files.tar", "w") as archive:
        for path in paths:
            archive.add(path, os.path.relpath(path, WORKSPACE))
    (folder / "key").write_text(key, "utf-8")
    print(f"Cache saved with key: {key}")
    return None


def find_cache(keys: list[str], wanted: str) -> Path | None:
    """Return the cache of the first key, else the newest whose key starts with a key, in order."""
    caches = [each for each in CACHES.iterdir() if each.name.endswith(quote(f"@{wanted}", safe=""))]
    newest_first = sorted(caches, key=lambda each: (each / "key").stat().st_mtime_ns, reverse=True)
    for each in newest_first:
        if (each / "key").read_text("utf-8") == keys[0]:
            return each
    for start in keys:
        for each in newest_first:
            if (each / "key").read_text("utf-8").startswith(start):
                return each
    return None


def version(paths: list[str]) -> str:
    """Return what tells caches of different paths apart, which a key does not."""
    return hashlib.sha256("|".join(paths).encode()).hexdigest()


def invalid(key: str) -> str:
    if len(key) > 512:
        return f"Key Validation Error: {key} cannot be larger than 512 characters."
    return f"Key Validation Error: {key} cannot contain commas." if "," in key else ""


main()
