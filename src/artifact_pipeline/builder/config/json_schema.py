"""The JSON Schema of config files, for editors that complete and check them."""

from __future__ import annotations

from typing import Any

import msgspec

from artifact_pipeline.builder.config.checks import (
    BOUNDS,
    COMPARISON_KEYS,
    METRIC_NAMES,
    SLICED_METRIC,
)
from artifact_pipeline.builder.config.schema import TABLE_KEYS, ConfigFile, ShortConfigFile

_EITHER = {
    "DataSection": ("dataset", "path"),
    "ModelSection": ("estimator", "steps"),
    "StepSection": ("estimator", "branches"),
    "BranchSection": ("estimator", "steps"),
}
"""Pairs of keys; a section has exactly one key of a pair."""


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a config file in the short or the full form."""
    forms, components = msgspec.json.schema_components(
        [ConfigFile, ShortConfigFile], ref_template="#/$defs/{name}"
    )
    for name, keys in _EITHER.items():
        components[name]["oneOf"] = [{"required": [key]} for key in keys]
    components["BranchSection"]["allOf"] = [
        {"oneOf": [{"required": ["columns"]}, {"required": ["column"]}]}
    ]
    for name in ("ModelSection", "StepSection", "BranchSection"):
        components[name]["dependentRequired"] = {"params": ["estimator"]}
    components["ModelSection"]["dependentRequired"]["preprocess"] = ["estimator"]
    components["StepSection"]["dependentRequired"]["remainder"] = ["branches"]
    components["DataSection"]["dependentRequired"] = {
        "path": ["target"],
        **{key: ["path"] for key in TABLE_KEYS},
    }
    components["GateSection"]["anyOf"] = [{"required": [key]} for key in BOUNDS]
    components["GateSection"]["dependentRequired"] = {
        key: ["not_worse_than"] for key in COMPARISON_KEYS
    }
    metrics = {"anyOf": [{"enum": list(METRIC_NAMES)}, {"pattern": f"^{SLICED_METRIC.pattern}$"}]}
    for name in ("ConfigFile", "ShortConfigFile"):
        components[name]["properties"]["gates"]["propertyNames"] = metrics
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A config of artifact-pipeline",
        "anyOf": list(forms),
        "$defs": components,
    }
