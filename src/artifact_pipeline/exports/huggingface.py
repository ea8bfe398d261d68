"""A folder that Hugging Face's Hub accepts: the open form, and a card with metadata.

Source: https://huggingface.co/docs/hub/model-cards
"""

from __future__ import annotations

import json
import re

from artifact_pipeline.builder.artifact import card
from artifact_pipeline.builder.artifact.describe import model_name_of
from artifact_pipeline.builder.artifact.manifest import CARD, MANIFEST, MODEL_ONNX
from artifact_pipeline.builder.escapes import write_out_json
from artifact_pipeline.builder.metric_table import METRICS
from artifact_pipeline.errors import CallError, Location, quoted
from artifact_pipeline.exports import onnx_bundle
from artifact_pipeline.verification.verify import Verified

UNKNOWN_LICENSE = "unknown"
"""The Hub's identifier of a licence that is not known."""
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,63}")


def files(verified: Verified, license_id: str | None) -> dict[str, bytes]:
    """Return the files of the folder by name, without a pickle.

    Args:
        verified: The artifact.
        license_id: The Hub's identifier of the licence, such as `mit`; None if it is not known.

    Raises:
        CallError: If the identifier is malformed.
        VerificationError: If a file has changed since it was verified.
    """
    if license_id is not None and not _LICENSE.fullmatch(license_id):
        raise CallError(
            f"found {quoted(license_id)}, expected an identifier such as mit or apache-2.0",
            location=Location("license"),
        )
    is_onnx = verified.model_file == MODEL_ONNX
    model = onnx_bundle.files(verified) if is_onnx else {
        verified.model_file: verified.files[verified.model_file]
    }  # fmt: skip
    text = f"{_metadata(verified, license_id or UNKNOWN_LICENSE)}{_body(verified)}"
    return {**model, MANIFEST: verified.sealed, CARD: text.encode()}


def _metadata(verified: Verified, license_id: str) -> str:
    manifest = verified.manifest
    name, is_onnx = model_name_of(manifest.recipe), verified.model_file == MODEL_ONNX
    bundled = manifest.recipe.data.dataset
    task = f"tabular-{'classification' if manifest.interface.labels else 'regression'}"
    measured = {
        metric.card_name: manifest.metrics.test[metric.name]
        for metric in METRICS
        if metric.card_name and metric.name in manifest.metrics.test
    }
    result = {
        "task": {"type": task},
        "dataset": {
            "type": bundled or name,
            "name": bundled or f"{name}: {manifest.recipe.data.title}",
            "split": "test",
        },
        "metrics": [{"type": name, "value": value} for name, value in measured.items()],
    }
    metadata = {
        "license": license_id,
        "library_name": "onnx" if is_onnx else "sklearn",
        "pipeline_tag": task,
        "tags": ["sklearn", "onnx" if is_onnx else "skops", "artifact-pipeline"],
        # The Hub links each name to one of its own data sets, so a user's table is left out.
        **({} if bundled is None else {"datasets": [bundled]}),
        "metrics": list(measured),
        "model-index": [{"name": name, "results": [result]}],
    }
    # JSON is YAML, and escapes every character that YAML might treat in another way.
    return f"---\n{write_out_json(json.dumps(metadata, indent=2, ensure_ascii=False))}\n---\n"


def _body(verified: Verified) -> str:
    """Return the card's text from the manifest, because the sealed card may contain any text."""
    manifest = verified.manifest
    sealed = card.write(
        manifest.recipe,
        split=manifest.split,
        metrics=manifest.metrics,
        interface=manifest.interface,
        parity=manifest.parity,
        evaluation=verified.evaluation(),
    )
    _, _, text = sealed.partition("\n---\n")
    return f"{text.rpartition('## Usage')[0]}{_usage(verified)}"


def _usage(verified: Verified) -> str:
    claim = verified.manifest.parity.claim(bool(verified.manifest.interface.labels))
    if verified.model_file == MODEL_ONNX:
        use = """    python predict.py rows.json

The script needs onnxruntime and numpy. `rows.json` is a list of records, or of lists in the order
of the features in `interface.json`."""
    else:
        use = """    import skops.io
    model = skops.io.load("model.skops", trusted=skops.io.get_untrusted_types(file="model.skops"))

Loading a skops archive can call methods of the types that are trusted: review them first."""
    return f"""## Usage

{use}

`{verified.model_file}` is proven: {claim}.

The model is from the sealed artifact `{verified.digest}`: the SHA-256 of `manifest.json`, which has
the digest of the model.
"""
