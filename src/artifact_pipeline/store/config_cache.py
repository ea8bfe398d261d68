"""A cache of checked configs, by their bytes.

Checking a config imports scikit-learn, and describing a table reads it; both take longer than a run
in which nothing changed.
"""

from __future__ import annotations

import hashlib
import sys
from typing import Any

import msgspec
from msgspec import Struct

from artifact_pipeline.builder import canonical, environment, recipe
from artifact_pipeline.builder.config.resolved import ModelConfig, ResolvedConfig, TableData
from artifact_pipeline.builder.data import table_files
from artifact_pipeline.builder.data.dataset import Description
from artifact_pipeline.store.local_state import recall, remember


class CheckedConfig(Struct, frozen=True):
    """A checked config, with its resolved model and table."""

    config: ResolvedConfig
    model: ModelConfig
    """The model with all parameters of its estimators."""
    table: Description | None
    """The description of the table that it reads, if it reads one."""


def lookup(data: bytes, base: str) -> CheckedConfig | None:
    """Return a config that was checked before; None if its bytes or its table have changed.

    Args:
        data: The bytes of the config.
        base: The folder that its paths are relative to.
    """
    cached = _recall(data)
    if cached is None or not isinstance(cached.config.data, TableData):
        return cached
    fingerprint = fingerprint_of(cached.config, base)
    return _recall(_with_table(data, fingerprint)) if fingerprint else None


def store(data: bytes, checked: CheckedConfig, *, fingerprint: Any) -> None:
    """Remember a config that was checked.

    Args:
        data: The bytes of the config.
        checked: The result of the check.
        fingerprint: `fingerprint_of` the config, taken before its table was read: a table that
            changes while it is read must be read again. A config without one is not remembered if
            it reads a table.

    Raises:
        StoreError: If the state folder cannot be written.
    """
    entry = canonical.encode(msgspec.to_builtins(checked))
    if not isinstance(checked.config.data, TableData):
        remember(_name(data), entry)
    elif fingerprint:
        # One entry by the config, which names the table, and one also by the table's fingerprint.
        remember(_name(data), entry)
        remember(_name(_with_table(data, fingerprint)), entry)


def fingerprint_of(config: ResolvedConfig, base: str) -> Any:
    """Return a value that changes when the files of a config's table do; None without a table."""
    if not isinstance(config.data, TableData):
        return None
    return table_files.fingerprint(table_files.locate(config.data.path, base))


def _recall(key: bytes) -> CheckedConfig | None:
    entry = recall(_name(key))
    if entry is None:
        return None
    try:
        return msgspec.convert(canonical.decode(entry), CheckedConfig)
    except (canonical.NotCanonical, msgspec.ValidationError):
        return None  # a corrupt entry is a miss


def _with_table(data: bytes, fingerprint: Any) -> bytes:
    return data + ascii(fingerprint).encode()  # file names need not be UTF-8


def _name(key: bytes) -> str:
    versions = environment.versions(("scikit-learn",)).values()
    prefix = "\0".join([recipe.code_digest(), sys.version, *versions]).encode()
    return "configs/" + hashlib.sha256(prefix + b"\0" + key).hexdigest()
