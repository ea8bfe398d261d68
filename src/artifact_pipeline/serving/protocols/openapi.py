"""What the server answers to, as OpenAPI 3.1 describes it."""

from __future__ import annotations

from typing import Any

from artifact_pipeline._version import __version__
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
        },
    },
}
_REFUSALS = {
    str(status): {
        "description": kind,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    for status, kind in KINDS.items()
    if status != GONE
}


def document(models: list[str]) -> dict[str, Any]:
    """Return the description of a server of these models."""
    name = {"name": "model", "in": "path", "required": True, "schema": {"enum": models}}
    version = {"name": "version", "in": "path", "required": True, "schema": {"type": "string"}}
    one, other = "/v2/models/{model}", "/v2/models/{model}/versions/{version}"
    infer = _post("Predict tensors", "InferenceRequest", "InferenceResponse")
    predict = _post("Predict rows", "Rows", "Predictions")
    paths: dict[str, Any] = {
        "/": _get("A page to try a model on", "text/html"),
        "/report/{model}": {**_get("How good it is", "text/html"), "parameters": [name]},
        "/v2": _get("What this server is"),
        "/v2/health/live": _get("Whether it lives"),
        "/v2/health/ready": _get("Whether it answers, and which artifacts it keeps or refuses"),
        "/metrics": _get("What was counted, for Prometheus", "text/plain"),
        "/openapi.json": _get("This"),
        "/predict": predict,
        "/predict/{model}": {**predict, "parameters": [name]},
    }
    for path, parameters in ((one, [name]), (other, [name, version])):
        paths[path] = {**_get("What a model takes and gives"), "parameters": parameters}
        paths[f"{path}/ready"] = {**_get("Whether it answers"), "parameters": parameters}
        paths[f"{path}/infer"] = {**infer, "parameters": parameters}
    bearer = {"type": "http", "scheme": "bearer"}
    return {
        "openapi": "3.1.0",
        "info": {"title": "artifact-pipeline serve", "version": __version__},
        "paths": paths,
        "components": {"schemas": _SCHEMAS, "securitySchemes": {"token": bearer}},
        "security": [{}, {"token": []}],
    }


def _get(summary: str, kind: str = "application/json") -> dict[str, Any]:
    answer = {"description": summary, "content": {kind: {}}}
    return {"get": {"summary": summary, "responses": {"200": answer, **_REFUSALS}}}


def _post(summary: str, given: str, found: str) -> dict[str, Any]:
    def content(schema: str) -> dict[str, Any]:
        return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}

    answer = {"description": summary, "content": content(found)}
    return {
        "post": {
            "summary": summary,
            "requestBody": {"required": True, "content": content(given)},
            "responses": {"200": answer, **_REFUSALS},
        }
    }
