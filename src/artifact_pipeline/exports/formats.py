"""The formats of exports, which the command line lists without loading their writers."""

from __future__ import annotations

from typing import Literal, TypeAlias

ExportFormat: TypeAlias = Literal["folder", "slsa", "cyclonedx", "huggingface", "mlflow"]
OUTPUTS: dict[ExportFormat, str] = {
    "folder": "model.zip",
    "slsa": "provenance.json",
    "cyclonedx": "bom.json",
    "huggingface": "huggingface",
    "mlflow": "mlflow-model",
}
"""The default output of each format: a file, or a folder if the name has no extension."""
TRACKING_URI_ENV_VAR = "MLFLOW_TRACKING_URI"
