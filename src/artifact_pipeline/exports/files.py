"""The files and folders that exports are written to."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from artifact_pipeline.builder.canonical import Digest
from artifact_pipeline.disk import kind_of, remove, translate_os_errors, write_new
from artifact_pipeline.errors import CallError, Location, StoreError

_NEW = "name another one with --output"
_OLDEST = (1980, 1, 1, 0, 0, 0)
"""The time of all members of a zip file, the earliest that the format can represent."""
_UNIX = 3
_MODE = 0o100644 << 16


def check_output(output: Path, root: Path, *, inputs: Iterable[str | os.PathLike[str]]) -> None:
    """Check that an export overwrites neither a store nor its own inputs.

    Args:
        output: The file or folder to write.
        root: The store.
        inputs: The artifact's folder, and files that are read.

    Raises:
        CallError: If it would.
    """
    location = Location(str(output))
    if str(output) == "-":
        raise CallError("exports are not written to standard output", location=location,
                        remedy=_NEW)  # fmt: skip
    with translate_os_errors(output):
        path = output.resolve()
        for folder in (root.resolve(), *(Path(name).resolve() for name in inputs)):
            if path == folder or folder in path.parents:
                raise CallError(
                    "is the input, or inside of it" if folder != root.resolve()
                    else "is inside the store, which is only for artifacts and records",
                    location=location,
                    remedy=_NEW,
                )  # fmt: skip
    for name in inputs:
        with suppress(OSError):  # it does not exist
            if output.samefile(name):
                raise CallError("is the input", location=location, remedy=_NEW)


def write_folder(output: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a new folder, which appears with all of them or not at all.

    Args:
        output: The folder, which must not exist or be empty.
        files: The content of each file by its path in the folder, with `/` between folders.

    Raises:
        CallError: If the folder has files.
        StoreError: If it cannot be written.
    """
    location = Location(str(output))
    staging = output.parent / f".{output.name}.{os.urandom(4).hex()}"
    with translate_os_errors(output):
        kind = kind_of(output)
        if kind not in (None, "a folder"):
            raise CallError(f"is {kind}, expected a folder", location=location, remedy=_NEW)
        if kind == "a folder" and any(output.iterdir()):
            raise CallError("is a folder with files in it", location=location, remedy=_NEW)
        if not output.parent.is_dir():
            raise StoreError(
                "no such folder",
                location=Location(str(output.parent)),
                remedy=f"create it to write {output.name} there, or name another folder",
            )
        try:
            for name, data in files.items():
                path = staging / name
                path.parent.mkdir(parents=True, exist_ok=True)
                write_new(path, data)
            if kind == "a folder":
                output.rmdir()
            staging.rename(output)
        except OSError as error:
            error.filename = str(output)  # the user did not name the temporary folder
            raise
        finally:
            if os.path.lexists(staging):
                remove(staging)


def zipped(files: Mapping[str, bytes], prefix: str) -> bytes:
    """Return a zip file; identical files give identical bytes, because nothing is compressed.

    Args:
        files: The content of each file by its name.
        prefix: The name of their folder in the zip file.
    """
    import zipfile

    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, data in sorted(files.items()):
            member = zipfile.ZipInfo(f"{prefix}/{name}", _OLDEST)
            member.create_system, member.external_attr = _UNIX, _MODE
            archive.writestr(member, data)
    return stream.getvalue()


def short_name(name: str, digest: Digest) -> str:
    """Return a name for a folder: that of the model and the first digits of the digest."""
    return f"{name}-{digest[7:19]}"
