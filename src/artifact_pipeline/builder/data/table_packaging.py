"""Tables in gzip and zip files, and in JSON arrays.

The digest of a table is that of its files as they are, so they are unpacked behind it.

>>> unpack(b'[{"a": 1}, {"a": 2}]', "t.json").data
b'{"a": 1}\\n{"a": 2}\\n'
"""

from __future__ import annotations

import codecs
import gzip
import io
import zipfile
import zlib
from pathlib import Path, PurePath
from typing import NamedTuple

import msgspec

from artifact_pipeline.builder.data.remote_files import RemotePath
from artifact_pipeline.errors import DataError, Location

MAX_BYTES = 2 << 30
"""A small file can unpack to any size."""


class Unpacked(NamedTuple):
    """The bytes of a table, and the name that tells their format."""

    name: str
    data: bytes


def zip_member(file: Path | RemotePath) -> str:
    """Return the name of the table in a zip file, by which its format is known.

    Raises:
        DataError: If it cannot be read, or does not hold exactly one file.
    """
    try:
        return _member(file.read_bytes(), Location(str(file))).filename
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise DataError(problem, location=Location(str(file))) from error


def unpack(data: bytes, name: str) -> Unpacked:
    """Return the bytes of a table, unpacked by the extension of its file.

    Args:
        data: The bytes of a file.
        name: Its name.

    Raises:
        DataError: If they are not what the extension says, or unpack to over `MAX_BYTES`.
    """
    name, data = unpack_archive(data, name)
    if PurePath(name).suffix.lower() == ".json":
        return Unpacked(name, _json_lines(data, Location(name)))
    return Unpacked(name, data)


def unpack_archive(data: bytes, name: str) -> Unpacked:
    """Return the bytes in a gzip or zip file; those of another file as they are.

    Raises:
        DataError: As `unpack`.
    """
    file = Location(name)
    suffix = PurePath(name).suffix.lower()
    try:
        if suffix == ".gz":
            with gzip.open(io.BytesIO(data)) as stream:
                content = _limited(stream.read(MAX_BYTES + 1), file)
            return unpack_archive(content, name[: -len(suffix)])
        if suffix == ".zip":
            member = _member(data, file)
            with zipfile.ZipFile(io.BytesIO(data)) as archive, archive.open(member) as stream:
                content = _limited(stream.read(MAX_BYTES + 1), file)
            return unpack_archive(content, f"{name}/{member.filename}")
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError) as error:
        # A RuntimeError is a password; NotImplementedError, a kind of it, a compression.
        problem = f"is not a {suffix} file that can be read: {error}"
        raise DataError(problem, location=file) from error
    return Unpacked(name, data)


def _member(data: bytes, file: Location) -> zipfile.ZipInfo:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return only_member(archive, file)
    except zipfile.BadZipFile as error:
        raise DataError(f"is not a zip file: {error}", location=file) from error


def only_member(archive: zipfile.ZipFile, file: Location) -> zipfile.ZipInfo:
    """Return the only file in a zip archive, besides those that macOS adds.

    Raises:
        DataError: If it does not hold exactly one.
    """
    members = [
        member
        for member in archive.infolist()
        if not member.is_dir() and not member.filename.startswith("__MACOSX/")
    ]
    if len(members) != 1:
        raise DataError(
            f"has {len(members)} files, expected one table",
            location=file,
            remedy="unpack it, and name the table or its folder",
        )
    return members[0]


def _limited(data: bytes, file: Location) -> bytes:
    if len(data) > MAX_BYTES:
        raise DataError(
            f"unpacks to over {MAX_BYTES >> 30} GiB", location=file, remedy="unpack it first"
        )
    return data


def _json_lines(data: bytes, file: Location) -> bytes:
    """Return an array of objects as JSON lines, each as it is written."""
    data = data.removeprefix(codecs.BOM_UTF8)
    if not data.lstrip().startswith(b"["):
        return data
    try:
        rows = msgspec.json.decode(data, type=list[msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"is not a JSON array: {error}", location=file) from error
    # A JSON text has no line end inside a string, so those between tokens can be spaces.
    lines = (bytes(row).replace(b"\r", b" ").replace(b"\n", b" ") for row in rows)
    return b"".join(line + b"\n" for line in lines)
