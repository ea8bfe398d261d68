"""skops archives, opened under a recipe that the caller chooses."""

import msgspec

from artifact_pipeline.builder.artifact import manifest as manifests
from artifact_pipeline.builder.config.resolved import ModelConfig, Step
from artifact_pipeline.builder.formats import skops_format as form
from artifact_pipeline.builder.formats.origin import Origin
from artifact_pipeline.builder.recipe import ImportedFrom
from artifact_pipeline.errors import Location
from tests.support.configs import FIXTURES


def recipe_of(*names):
    """Return a recipe that names these classes; without any, one of a model fitted elsewhere."""
    found = manifests.decode((FIXTURES / "version-1-skops/manifest.json").read_bytes(), "m").recipe
    if not names:
        brought = ImportedFrom("artifact-pipeline 0.1.0", found.data.digest)
        return msgspec.structs.replace(found, brought=brought)
    steps = [Step(name=f"s{index}", estimator=name) for index, name in enumerate(names)]
    return msgspec.structs.replace(found, model=ModelConfig(steps=steps))


def load(archive, *names):
    return form.load(archive, Location("m"), origin=Origin.PINNED, recipe=recipe_of(*names))


def exported(estimator):
    return next(form.export(estimator))[1]
