"""Opening models of any form, from verified bytes."""

from __future__ import annotations

from artifact_pipeline.builder.artifact.manifest import MODEL_ONNX, FormName, Interface
from artifact_pipeline.builder.formats.base import BY_NAME, PredictFunction
from artifact_pipeline.builder.formats.origin import Origin
from artifact_pipeline.builder.recipe import Recipe
from artifact_pipeline.errors import Location


def load(
    name: FormName,
    verified: bytes,
    *,
    location: Location,
    origin: Origin,
    recipe: Recipe,
    interface: Interface | None = None,
) -> PredictFunction:
    """Open a model from verified bytes.

    Args:
        name: The form of the model.
        verified: The bytes of its file.
        location: Its file in errors.
        interface: The interface in the manifest, None while the artifact is being made.

    Raises:
        UntrustedModel: For a skops archive of unknown origin.
        VerificationError: If the model does not load, contains something that the reader does not
            allow, or does not match the interface.
    """
    form = BY_NAME[name]
    if form.file == MODEL_ONNX:
        from artifact_pipeline.builder.formats import onnx_format

        return onnx_format.load(verified, location, interface=interface)
    from artifact_pipeline.builder.formats import skops_format

    return skops_format.load(verified, location, origin=origin, recipe=recipe, interface=interface)
