"""An ONNX model with its interface and a script that predicts with onnxruntime and numpy only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeAlias

from msgspec import Struct, to_builtins

from artifact_pipeline.builder.artifact.describe import headline
from artifact_pipeline.builder.artifact.manifest import MODEL_ONNX, FeatureLimits, Interface, Label
from artifact_pipeline.builder.config.values import Kind
from artifact_pipeline.errors import CallError, Location
from artifact_pipeline.verification.verify import Verified

SCRIPT = "predict.py"
CHECKS = "model_interface.py"
INTERFACE = "interface.json"
NAMES = (MODEL_ONNX, INTERFACE, SCRIPT, CHECKS)
_SOURCE = Path(__file__).with_name("predict_onnx.py")
_CHECKS_SOURCE = Path(__file__).with_name(CHECKS)
Known: TypeAlias = "list[float] | list[str] | None"


class Feature(Struct, frozen=True, kw_only=True):
    """A feature in `interface.json`."""

    name: str
    input: str
    """The input of the graph that it belongs to."""
    kind: Kind
    nullable: bool
    known: Known = None
    """The only accepted values; None if others are accepted."""
    range: tuple[float, float] | None = None
    lowercase: bool = False
    missing_text: str | None = None


class BundleInterface(Struct, frozen=True, kw_only=True):
    """The content of `interface.json`."""

    artifact: str
    """The digest of the artifact that the model is from."""
    model: str
    features: list[Feature]
    labels: list[Label]
    """In the order of the columns of the probabilities; none if numbers are predicted."""
    label_names: list[str]


def files(verified: Verified) -> dict[str, bytes]:
    """Return the model, its interface, the script and its module of checks by their names.

    Values of training rows are left out, unless they are the only ones that the model accepts.

    Raises:
        CallError: If the artifact's form is not ONNX.
        VerificationError: If a file has changed since it was verified.
    """
    if verified.model_file != MODEL_ONNX:
        raise CallError(
            f"its form is {verified.manifest.parity.form}, which only scikit-learn can run",
            location=Location(str(verified.folder)),
            remedy="export an artifact whose form is ONNX; its model card has the reason",
        )
    interface = verified.manifest.interface
    described = BundleInterface(
        artifact=verified.digest,
        model=headline(verified.manifest.recipe),
        features=features(interface),
        labels=interface.labels,
        label_names=interface.label_names,
    )
    text = json.dumps(to_builtins(described), indent=2) + "\n"
    return {
        MODEL_ONNX: verified.files[MODEL_ONNX],
        INTERFACE: text.encode(),
        SCRIPT: _SOURCE.read_bytes(),
        CHECKS: _CHECKS_SOURCE.read_bytes(),
    }


def features(interface: Interface) -> list[Feature]:
    """Return the features of a table or a matrix, in their order."""
    if interface.columns is None:
        limits = interface.limits or [FeatureLimits()] * len(interface.features)
        return [
            Feature(
                name=name,
                input="X",
                kind="number",
                nullable=False,
                known=limit.numbers,
                range=limit.range,
            )
            for name, limit in zip(interface.features, limits, strict=True)
        ]
    return [
        Feature(
            name=column.name,
            input=f"c{index}",
            kind=column.kind,
            nullable=column.nullable or "" in (column.categories or ()),
            known=column.numbers if column.kind != "text"
            else None if column.unseen else column.categories,
            range=column.range,
            lowercase=column.lowercase,
            missing_text=column.missing_text,
        )
        for index, column in enumerate(interface.columns)
    ]  # fmt: skip
