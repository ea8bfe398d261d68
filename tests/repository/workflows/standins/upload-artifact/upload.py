"""Copies the files to STANDINS/artifacts/NAME, below the folder that they share."""

import glob
import hashlib
import os
import shutil
import sys
from pathlib import Path

env = os.environ
found = sorted(
    {
        Path(path).absolute()
        for line in env["PATHS"].splitlines()
        for top in glob.glob(line.strip())  # noqa: PTH207  (the real one takes the same globs)
        for path in ([top] if Path(top).is_file() else Path(top).rglob("*"))
        if Path(path).is_file()
    }
)
if not found:
    print(f"no files found: {env['PATHS']!r}")
    sys.exit(env["NO_FILES"] == "error")
target = Path(env["STANDINS"], "artifacts", env["NAME"])
if target.exists():
    if env["OVERWRITE"] != "true":
        sys.exit(f"an artifact {env['NAME']} is there already")
    shutil.rmtree(target)
tops = [Path(line.strip()).absolute() for line in env["PATHS"].splitlines() if line.strip()]
share = Path(os.path.commonpath(tops)) if len(tops) > 1 else tops[0]
share = share if share.is_dir() else share.parent
whole = hashlib.sha256()
for path in found:
    copy = target / path.relative_to(share)
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, copy)
    whole.update(path.read_bytes())
(target.parent / f"{env['NAME']}.days").write_text(env["RETENTION"])
with Path(env["GITHUB_OUTPUT"]).open("a") as file:
    file.write(f"artifact-id={len(found)}\nartifact-digest={whole.hexdigest()}\n")
