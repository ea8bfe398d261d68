"""A scikit-learn model as one JSON file in, a sealed artifact out.

    from artifact_pipeline import open_artifact, train

    run = train("config/config.json")
    model = open_artifact(run.artifact, digest=run.digest)
    model.predict(X)

The names below are all that the command line and the scripts in `src/` use. Each is loaded when
it is first asked for: importing this package loads no numpy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from artifact_pipeline._version import __version__ as __version__

if TYPE_CHECKING:
    from artifact_pipeline.builder.artifact.manifest import Manifest
    from artifact_pipeline.builder.config.loader import load_config, schema
    from artifact_pipeline.errors import (
        ArtifactNotFound,
        CallError,
        ConfigError,
        ConfigNotFound,
        DataError,
        GateMissed,
        PipelineError,
        ReproductionDiffers,
        StoreDamaged,
        StoreError,
        TestsFailed,
        TrainerDied,
        UntrustedModel,
        VerificationError,
    )
    from artifact_pipeline.inference.predict import infer, open_artifact, write_predictions
    from artifact_pipeline.inference.predictor import Predictor
    from artifact_pipeline.pipeline.draft_config import Draft, draft, write_config
    from artifact_pipeline.pipeline.evaluate import evaluate
    from artifact_pipeline.pipeline.import_model import Sealed, seal, seal_pickle
    from artifact_pipeline.pipeline.in_process import evaluate_model, load_data, train_model
    from artifact_pipeline.pipeline.plan import recipe_of
    from artifact_pipeline.pipeline.record import Run
    from artifact_pipeline.pipeline.reproduce import Reproduction, reproduce
    from artifact_pipeline.pipeline.run import run, train
    from artifact_pipeline.report.text import classification_report
    from artifact_pipeline.report.write import write_report
    from artifact_pipeline.serving.options import ModelSpec, ServerOptions
    from artifact_pipeline.serving.server import serve
    from artifact_pipeline.store.access import (
        check_integrity,
        open_trusted,
        sign,
    )
    from artifact_pipeline.store.check import HealthReport, examine
    from artifact_pipeline.store.journal import Promotion
    from artifact_pipeline.store.pickles import load_model, save_model
    from artifact_pipeline.store.policy import require_signature, signer_of
    from artifact_pipeline.store.promotion import promote, promotions
    from artifact_pipeline.store.queries import artifacts, diff, runs, show
    from artifact_pipeline.verification.signatures import (
        Certificates,
        Identity,
        PublicKey,
        Signer,
        certificates,
        public_key,
    )
    from artifact_pipeline.verification.verify import Verified

_MODULES = {
    "builder.artifact.manifest": ("Manifest",),
    "builder.config.loader": (
        "load_config",
        "schema",
    ),
    "errors": (
        "ArtifactNotFound",
        "CallError",
        "ConfigError",
        "ConfigNotFound",
        "DataError",
        "GateMissed",
        "PipelineError",
        "ReproductionDiffers",
        "StoreDamaged",
        "StoreError",
        "TestsFailed",
        "TrainerDied",
        "UntrustedModel",
        "VerificationError",
    ),
    "inference.predict": (
        "infer",
        "open_artifact",
        "write_predictions",
    ),
    "inference.predictor": ("Predictor",),
    "pipeline.draft_config": (
        "Draft",
        "draft",
        "write_config",
    ),
    "pipeline.evaluate": ("evaluate",),
    "pipeline.import_model": (
        "Sealed",
        "seal",
        "seal_pickle",
    ),
    "pipeline.in_process": (
        "evaluate_model",
        "load_data",
        "train_model",
    ),
    "pipeline.plan": ("recipe_of",),
    "pipeline.record": ("Run",),
    "pipeline.reproduce": (
        "Reproduction",
        "reproduce",
    ),
    "pipeline.run": (
        "run",
        "train",
    ),
    "report.text": ("classification_report",),
    "report.write": ("write_report",),
    "serving.options": (
        "ModelSpec",
        "ServerOptions",
    ),
    "serving.server": ("serve",),
    "store.access": (
        "check_integrity",
        "open_trusted",
        "sign",
    ),
    "store.check": (
        "HealthReport",
        "examine",
    ),
    "store.journal": ("Promotion",),
    "store.pickles": (
        "load_model",
        "save_model",
    ),
    "store.policy": (
        "require_signature",
        "signer_of",
    ),
    "store.promotion": (
        "promote",
        "promotions",
    ),
    "store.queries": (
        "artifacts",
        "diff",
        "runs",
        "show",
    ),
    "verification.signatures": (
        "Certificates",
        "Identity",
        "PublicKey",
        "Signer",
        "certificates",
        "public_key",
    ),
    "verification.verify": ("Verified",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "ArtifactNotFound",
    "CallError",
    "Certificates",
    "ConfigError",
    "ConfigNotFound",
    "DataError",
    "Draft",
    "GateMissed",
    "HealthReport",
    "Identity",
    "Manifest",
    "ModelSpec",
    "PipelineError",
    "Predictor",
    "Promotion",
    "PublicKey",
    "Reproduction",
    "ReproductionDiffers",
    "Run",
    "Sealed",
    "ServerOptions",
    "Signer",
    "StoreDamaged",
    "StoreError",
    "TestsFailed",
    "TrainerDied",
    "UntrustedModel",
    "VerificationError",
    "Verified",
    "artifacts",
    "certificates",
    "check_integrity",
    "classification_report",
    "diff",
    "draft",
    "evaluate",
    "evaluate_model",
    "examine",
    "infer",
    "load_config",
    "load_data",
    "load_model",
    "open_artifact",
    "open_trusted",
    "promote",
    "promotions",
    "public_key",
    "recipe_of",
    "reproduce",
    "require_signature",
    "run",
    "runs",
    "save_model",
    "schema",
    "seal",
    "seal_pickle",
    "serve",
    "show",
    "sign",
    "signer_of",
    "train",
    "train_model",
    "write_config",
    "write_predictions",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
