"""Sealed artifacts, and artifacts that an attacker sealed again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from artifact_pipeline.builder import canonical


class Sealed(NamedTuple):
    """A store with the digits artifact in it."""

    store: Path
    folder: Path
    digest: str
    run: dict[str, Any]


def variant(folder: Path, text: str, **recipe: Any) -> dict[str, bytes]:
    """Return the files of an artifact like the one in a folder, with another card and digest.

    Args:
        folder: The artifact.
        text: Added to the card.
        recipe: Fields of the recipe that are replaced, such as `name`.
    """
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    files["README.md"] += text.encode()
    manifest = json.loads(files["manifest.json"])
    manifest["recipe"].update(recipe)
    manifest["recipe_digest"] = canonical.digest(canonical.encode(manifest["recipe"]))
    for file in manifest["files"]:
        data = files[file["path"]]
        file.update(sha256=canonical.digest(data), bytes=len(data))
    files["manifest.json"] = canonical.encode(manifest)
    return files


def reseal(folder: Path, name: str, data: bytes) -> str:
    """Replace a file of an artifact and seal it again, as an attacker can; return the digest."""
    (folder / name).write_bytes(data)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    for file in manifest["files"]:
        if file["path"] == name:
            file.update(sha256=canonical.digest(data), bytes=len(data))
    (folder / "manifest.json").write_bytes(canonical.encode(manifest))
    return canonical.digest(canonical.encode(manifest))
