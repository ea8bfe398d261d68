"""The description of the server's API, as OpenAPI 3.1."""

from __future__ import annotations

from typing import Any

from artifact_pipeline._version import __version__
from artifact_pipeline.inference.training_bounds import MAX_LISTED
from artifact_pipeline.serving.http.errors import GONE, KINDS

_TENSOR = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "properties": {
        "name": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "datatype": {"enum": ["FP64", "FP32", "INT64", "BOOL", "BYTES"]},
        "data": {"type": "array"},
        "parameters": {"type": "object"},
    },
}
_SCHEMAS = {
    "Error": {
        "type": "object",
        "required": ["error"],
        "properties": {"error": {"type": "string"}},
    },
    "Tensor": _TENSOR,
    "InferenceRequest": {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "inputs": {"type": "array", "items": {"$ref": "#/components/schemas/Tensor"}},
            "outputs": {"type": "array", "items": {"type": "object"}},
            "parameters": {"type": "object"},
        },
    },
    "InferenceResponse": {
        "type": "object",
        "required": ["model_name", "model_version", "outputs"],
        "properties": {
            "id": {"type": "string"},
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "outputs": {"type": "array", "items": {"$ref": "#/components/schemas/Tensor"}},
        },
    },
    "Rows": {
        "type": "object",
        "required": ["rows"],
        "additionalProperties": False,
        "properties": {"rows": {"type": "array", "items": {"type": ["array", "object"]}}},
    },
    "Predictions": {
        "type": "object",
        "required": ["model", "digest"],
        "properties": {
            "model": {"type": "string"},
            "digest": {"type": "string"},
            "labels": {"type": "array"},
            "predictions": {"type": "array", "items": {"type": "number"}},
            "classes": {"type": "array"},
            "probabilities": {"type": "array", "items": {"type": "array"}},
            "id": {"type": "string"},
            "ids": {"type": "array", "items": {"type": "string"}},
            "warnings": {
                "type": "array",
                "description": "Values that no training row has; absent if there are none",
                "items": {"$ref": "#/components/schemas/ValueWarning"},
            },
        },
    },
    "ValueWarning": {
        "type": "object",
        "required": ["column", "problem", "count", "rows"],
        "properties": {
            "column": {"type": "string"},
            "problem": {"type": "string"},
            "count": {"type": "integer"},
            "rows": {
                "type": "array",
                "description": f"Counted from 1; at most {MAX_LISTED:,} in all warnings together",
                "items": {"type": "integer"},
            },
        },
    },
    "Explanation": {
        "type": "object",
        "required": [
            "model",
            "digest",
            "scale",
            "method",
            "exact",
            "typical_output",
            "output",
            "contributions",
        ],
        "properties": {
            "model": {"type": "string"},
            "digest": {"type": "string"},
            "label": {},
            "scale": {"enum": ["prediction", "probability", "log-odds", "score"]},
            "method": {"type": "string"},
            "exact": {"type": "boolean"},
            "typical_output": {"type": "number"},
            "output": {"type": "number"},
            "contributions": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["column", "value", "typical", "contribution"],
                    "properties": {
                        "column": {"type": "string"},
                        "value": {"type": ["number", "string", "null"]},
                        "typical": {"type": ["number", "string", "null"]},
                        "contribution": {"type": "number"},
                    },
                },
            },
        },
    },
}
_ERRORS = {
    str(status): {
        "description": kind,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    for status, kind in KINDS.items()
    if status != GONE
}


def document(models: list[str]) -> dict[str, Any]:
    """Return the description of a server with these models."""
    name = {"name": "model", "in": "path", "required": True, "schema": {"enum": models}}
    version = {"name": "version", "in": "path", "required": True, "schema": {"type": "string"}}
    latest, pinned = "/v2/models/{model}", "/v2/models/{model}/versions/{version}"
    infer = _post("Predict tensors", "InferenceRequest", response="InferenceResponse")
    predict = _post("Predict rows", "Rows", response="Predictions", csv=True)
    explain = _post("Contributions to the prediction of a row", "Rows", response="Explanation")
    paths: dict[str, Any] = {
        "/": _get("A page to try a model", "text/html"),
        "/report/{model}": {**_get("The report of a model", "text/html"), "parameters": [name]},
        "/v2": _get("Name, version and extensions of the server"),
        "/v2/health/live": _get("Whether the server is running"),
        "/v2/health/ready": _get("Whether the server is ready, its artifacts and rejected updates"),
        "/metrics": _get("Metrics for Prometheus", "text/plain"),
        "/openapi.json": _get("This document"),
        "/predict": predict,
        "/predict/{model}": {**predict, "parameters": [name]},
        "/explain": explain,
        "/explain/{model}": {**explain, "parameters": [name]},
    }
    for path, parameters in ((latest, [name]), (pinned, [name, version])):
        paths[path] = {**_get("Inputs and outputs of a model"), "parameters": parameters}
        paths[f"{path}/ready"] = {**_get("Whether the model is ready"), "parameters": parameters}
        paths[f"{path}/infer"] = {**infer, "parameters": parameters}
    bearer = {"type": "http", "scheme": "bearer"}
    return {
        "openapi": "3.1.0",
        "info": {"title": "artifact-pipeline serve", "version": __version__},
        "paths": paths,
        "components": {"schemas": _SCHEMAS, "securitySchemes": {"token": bearer}},
        "security": [{}, {"token": []}],
    }


def _get(summary: str, media_type: str = "application/json") -> dict[str, Any]:
    success = {"description": summary, "content": {media_type: {}}}
    return {"get": {"summary": summary, "responses": {"200": success, **_ERRORS}}}


def _post(summary: str, request: str, *, response: str, csv: bool = False) -> dict[str, Any]:
    def content(schema: str) -> dict[str, Any]:
        return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}

    success = {"description": summary, "content": content(response)}
    body = content(request) | ({"text/csv": {"schema": {"type": "string"}}} if csv else {})
    return {
        "post": {
            "summary": summary,
            "requestBody": {"required": True, "content": body},
            "responses": {"200": success, **_ERRORS},
        }
    }
