"""An MLflow model that is the ONNX form: a folder, or a version in a tracking server's registry.

Writing the folder does not need MLflow; sending it does.

Source: https://mlflow.org/docs/latest/ml/model/
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Mapping
from contextlib import redirect_stdout
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from artifact_pipeline.builder.artifact import describe
from artifact_pipeline.builder.artifact.manifest import MODEL_ONNX, Interface
from artifact_pipeline.builder.canonical import JSON
from artifact_pipeline.exports import mlflow_client, onnx_bundle
from artifact_pipeline.verification.verify import Verified

_LOADER = Path(__file__).with_name("mlflow_loader.py")
_TYPES = {"number": "double", "text": "string", "date": "datetime", "boolean": "boolean"}
_EXAMPLE = "input_example.json"
_DATA, _CODE = "data", "code"
_MAX_PARAM = 6000
"""Maximum characters of a parameter's value on a tracking server."""
_NOT_IN_NAMES = re.compile(r"[^\w./: -]")
_MAX_NAME = 250
_SERVER_REMEDY = "check the address, the credentials and the server"


def files(verified: Verified) -> dict[str, bytes]:
    """Return the files of an MLflow model by their paths in its folder.

    Raises:
        CallError: If the artifact's form is not ONNX.
        VerificationError: If a file has changed since it was verified.
    """
    bundle = onnx_bundle.files(verified)
    del bundle[onnx_bundle.SCRIPT]
    checks, loader = bundle.pop(onnx_bundle.CHECKS), _LOADER.read_bytes()
    # Python imports a module once, so the module of each release has its own name.
    module = f"artifact_pipeline_{hashlib.sha256(loader + checks).hexdigest()[:12]}"
    example = _input_example(verified.manifest.interface)
    described = {
        "MLmodel": _as_json(_description(verified, module, has_example=example is not None)),
        **{f"{_DATA}/{name}": data for name, data in bundle.items()},
        f"{_CODE}/{module}.py": loader,
        f"{_CODE}/{onnx_bundle.CHECKS}": checks,
        **_environment(verified),
    }
    if example is not None:
        described[_EXAMPLE] = _as_json(example)
    return described


def send(verified: Verified, tracking_uri: str, *, registered_model: str | None = None) -> str:
    """Log an artifact to a tracking server as a finished run, and return the model's URI.

    Args:
        verified: The artifact.
        tracking_uri: The URI of the server.
        registered_model: The name in its registry under which to add a version.

    Raises:
        CallError: If the artifact's form is not ONNX.
        MissingDependency: If `mlflow` is not installed.
        NetworkError: If the server cannot be reached or refuses.
    """
    import sys
    import tempfile

    content = files(verified)
    mlflow = mlflow_client.library()
    name = describe.model_name_of(verified.manifest.recipe)
    tags = {
        "artifact_pipeline.digest": verified.digest,
        "artifact_pipeline.recipe_digest": verified.manifest.recipe_digest,
    }
    # The client prints the address of a run that ends.
    with (
        mlflow_client.server_errors(tracking_uri, remedy=_SERVER_REMEDY),
        redirect_stdout(sys.stderr),
        tempfile.TemporaryDirectory() as scratch,
    ):
        for path, data in content.items():
            target = Path(scratch) / path
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(data)
        client = mlflow.MlflowClient(tracking_uri, tracking_uri)
        experiment = client.get_experiment_by_name(name)
        experiment_id = experiment.experiment_id if experiment else client.create_experiment(name)
        run_name = f"{name}-{verified.digest[7:19]}"
        run = client.create_run(experiment_id, tags=tags, run_name=run_name).info.run_id
        status = "FAILED"
        try:
            for key, value in _params(verified).items():
                client.log_param(run, key, value)
            for key, number in _metrics(verified).items():
                client.log_metric(run, key, number)
            client.log_artifacts(run, scratch, "model")
            uri = f"runs:/{run}/model"
            if registered_model is not None:
                version = _register(client, registered_model, uri=uri, run=run, tags=tags)
                uri = f"models:/{registered_model}/{version}"
            status = "FINISHED"
        finally:
            client.set_terminated(run, status)
    return uri


def _register(client: Any, name: str, *, uri: str, run: str, tags: Mapping[str, str]) -> str:
    """Add a version to a registered model, which is created if there is none, and return it."""
    if not client.search_registered_models(f"name = '{_as_filter(name)}'"):
        client.create_registered_model(name)
    version = client.create_model_version(name, uri, run_id=run, tags=dict(tags))
    return str(version.version)


def _as_filter(name: str) -> str:
    return name.replace("'", "\\'")


def _description(verified: Verified, module: str, *, has_example: bool) -> dict[str, JSON]:
    """Return the content of the file MLmodel."""
    manifest = verified.manifest
    description: dict[str, JSON] = {
        "flavors": {
            "python_function": {
                "loader_module": module,
                "data": _DATA,
                "code": _CODE,
                "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
                "python_version": manifest.recipe.platform.python,
            },
            "onnx": {
                "data": f"{_DATA}/{MODEL_ONNX}",
                "onnx_version": manifest.recipe.packages["onnx"],
                "providers": ["CPUExecutionProvider"],
                "onnx_session_options": None,
                "code": _CODE,
            },
        },
        "signature": {
            "inputs": json.dumps(_inputs(manifest.interface)),
            "outputs": json.dumps(_outputs(manifest.interface)),
            "params": None,
        },
        "model_uuid": uuid.uuid5(uuid.NAMESPACE_URL, verified.digest).hex,
        "metadata": {
            "artifact_pipeline.digest": verified.digest,
            "artifact_pipeline.recipe_digest": manifest.recipe_digest,
        },
    }
    if has_example:
        description["saved_input_example_info"] = {
            "artifact_path": _EXAMPLE,
            "type": "dataframe",
            "pandas_orient": "split",
        }
    return description


def _inputs(interface: Interface) -> list[JSON]:
    """Return the signature's inputs, with booleans as numbers: MLflow's cannot be missing."""
    return [
        {
            "name": feature.name,
            "type": "double" if feature.kind == "boolean" and feature.nullable
            else _TYPES[feature.kind],
            "required": True,
        }
        for feature in onnx_bundle.features(interface)
    ]  # fmt: skip


def _outputs(interface: Interface) -> list[JSON]:
    if not interface.labels:
        return [{"name": "prediction", "type": "double", "required": True}]
    label = interface.labels[0]
    kind = "boolean" if isinstance(label, bool) else "long" if isinstance(label, int) else "string"
    columns: list[JSON] = [{"name": "label", "type": kind, "required": True}]
    if len(interface.outputs) > 1:
        columns += [
            {"name": f"probability_{name}", "type": "double", "required": True}
            for name in interface.labels
        ]
    return columns


def _input_example(interface: Interface) -> dict[str, JSON] | None:
    """Return a row of the typical values in training, None if a value is not known."""
    if interface.training is None:
        return None
    row: list[JSON] = []
    for feature, values in zip(onnx_bundle.features(interface), interface.training, strict=True):
        value: JSON = values.typical
        if value is None and not feature.nullable:
            return None
        if isinstance(value, float) and feature.kind == "date":
            value = (datetime(1970, 1, 1) + timedelta(days=value)).isoformat()
        if value is not None and feature.kind == "boolean" and not feature.nullable:
            value = bool(value)
        row.append(value)
    return {"columns": list(interface.features), "data": [row]}


def _environment(verified: Verified) -> dict[str, bytes]:
    """Return the files that list the requirements of the model for MLflow."""
    recipe = verified.manifest.recipe
    needed = [f"{name}=={recipe.packages[name]}" for name in ("numpy", "onnxruntime")]
    needed = ["mlflow", "pandas", *needed]
    python = recipe.platform.python
    conda: JSON = {
        "name": "mlflow-env",
        "channels": ["conda-forge"],
        "dependencies": [f"python={python}", "pip", {"pip": [*needed]}],
    }
    virtual: JSON = {"python": python, "build_dependencies": ["pip"],
                     "dependencies": ["-r requirements.txt"]}  # fmt: skip
    return {
        "requirements.txt": "".join(f"{line}\n" for line in needed).encode(),
        "conda.yaml": _as_json(conda),
        "python_env.yaml": _as_json(virtual),
    }


def _as_json(value: JSON) -> bytes:
    """Return JSON, which is YAML too as long as it is ASCII without surrogates."""
    return (json.dumps(value, indent=2) + "\n").encode()


def _params(verified: Verified) -> dict[str, str]:
    """Return the parameters of the recipe's model and split, as MLflow accepts their names."""
    recipe = verified.manifest.recipe
    params: dict[str, Any] = {"estimator": describe.title(recipe), "data": recipe.data.title}
    for step in recipe.model.as_steps():
        prefix = "" if recipe.model.steps is None else f"{step.name}."
        params |= {f"{prefix}{name}": value for name, value in (step.params or {}).items()}
        for branch in step.branches or ():
            for inner in branch.as_steps():
                title = inner.estimator.rpartition(".")[2]
                own = {f"{prefix}{branch.name}.{title}.{name}": value
                       for name, value in (inner.params or {}).items()}  # fmt: skip
                params |= own
    params |= {f"chosen.{k}": v for k, v in (verified.evaluation().chosen() or {}).items()}
    split = msgspec.to_builtins(recipe.split)
    params |= {f"split.{name}": value for name, value in split.items()}
    return {_metric_name(name): _as_text(value)[:_MAX_PARAM] for name, value in params.items()}


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _metrics(verified: Verified) -> dict[str, float]:
    metrics = verified.manifest.metrics
    return {
        _metric_name(f"{rows}.{name}"): value
        for rows, own in (("test", metrics.test), ("train", metrics.train or {}))
        for name, value in own.items()
    }


def _metric_name(name: str) -> str:
    """Return a name without the characters that MLflow refuses."""
    return _NOT_IN_NAMES.sub("_", name)[:_MAX_NAME]
