"""Configs that were checked before, by their bytes."""

from __future__ import annotations

import hashlib
import sys
from typing import Any

from artifact_pipeline.builder import canonical, environment, recipe
from artifact_pipeline.store.local_state import recall, remember


def recall_config(config: bytes) -> Any:
    """Return what `remember_config` was given for these bytes; None if it was not, or is lost."""
    found = recall(_config_name(config))
    try:
        return None if found is None else canonical.decode(found)
    except canonical.NotCanonical:  # a spoilt memory is no memory: the config is checked again
        return None


def remember_config(config: bytes, checked: Any) -> None:
    """Remember what the bytes of a config come to: that needs scikit-learn, this does not."""
    remember(_config_name(config), canonical.encode(checked))


def _config_name(config: bytes) -> str:
    decides = [recipe.code_digest(), sys.version, *environment.versions(("scikit-learn",)).values()]
    head = "\0".join(decides).encode()
    return "configs/" + hashlib.sha256(head + b"\0" + config).hexdigest()
