"""Copy the files of STANDINS/artifacts/NAME, or those of each name into a folder of that name."""

import os
import shutil
import subprocess
from pathlib import Path

from commands import SERVICES, fail, output, read

ARTIFACTS = SERVICES / "artifacts"


def main() -> None:
    name = read("name")
    folder = Path(read("path") or os.environ["GITHUB_WORKSPACE"]).expanduser().resolve()
    between = SERVICES / "between"
    if name and between.exists():  # what an attacker, or a failing service, does between two jobs
        subprocess.run([between, ARTIFACTS / name], check=True)
    kept = sorted(path.name for path in ARTIFACTS.iterdir() if path.is_dir())
    if name and name not in kept:
        fail(f"Unable to download artifact(s): Artifact not found for name: {name}")
    names = [name] if name else kept
    for each in names:
        target = folder if len(names) == 1 else folder / each
        shutil.copytree(ARTIFACTS / each, target, dirs_exist_ok=True)
    print(f"Total of {len(names)} artifact(s) downloaded")
    output("download-path", str(folder))


main()
