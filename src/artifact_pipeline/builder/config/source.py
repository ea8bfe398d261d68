"""Config files as bytes.

They are separate from `loader`, because a cached config is not parsed again.
"""

from __future__ import annotations

import codecs
import os
import stat
from pathlib import Path
from typing import Any, TypeAlias

from artifact_pipeline.errors import ConfigError, ConfigNotFound, Location

Source: TypeAlias = "str | os.PathLike[str] | dict[str, Any]"
"""A config as a path, or as the dict in its file."""

DEFAULT_PATH = "config/config.json"
_TABLES = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson", ".gz", ".zip", ".xlsx", ".xls")
MAX_BYTES = 1 << 20


def read(path: str | os.PathLike[str]) -> bytes:
    """Return the bytes of a config file.

    Raises:
        ConfigNotFound: If the file does not exist.
        ConfigError: If it is not a regular file, is larger than `MAX_BYTES`, or cannot be read.
    """
    file = Location(os.fspath(path))
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            kind = "a folder" if Path(path).is_dir() else "not a regular file"
            raise ConfigError(f"is {kind}, expected a JSON file", location=file)
        check_extension(file.file or "")
        with Path(path).open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        if "://" in str(file):
            raise ConfigError(
                "is a URL, expected a file", location=file, remedy="download it first"
            ) from error
        remedy = (
            "draft one for a table: artifact-pipeline init TABLE --target COLUMN; "
            "or start from an example: artifact-pipeline run --example"
        )
        raise ConfigNotFound("no such file", location=file, remedy=remedy) from error
    except ConfigError:
        raise
    except (OSError, ValueError) as error:  # a path with a NUL is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot be read: {reason}", location=file) from error
    if len(data) > MAX_BYTES:
        raise ConfigError(f"is over {MAX_BYTES} bytes, expected a config", location=file)
    return data.removeprefix(codecs.BOM_UTF8)


def check_extension(name: str) -> None:
    """Refuse a table or a YAML file as a config, by its name, with a remedy.

    Raises:
        ConfigError: If it is one.
    """
    file = Location(name)
    if name.lower().endswith(_TABLES):
        remedy = f"draft a config for it: artifact-pipeline init {name} --target COLUMN"
        raise ConfigError("is a table, expected a config", location=file, remedy=remedy)
    if name.lower().endswith((".yaml", ".yml", ".toml")):
        raise ConfigError(
            "is not JSON, expected a JSON file",
            location=file,
            remedy="write the same keys as JSON, in a file that ends in .json",
        )
