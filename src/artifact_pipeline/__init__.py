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

__version__ = "0.1.0"

if TYPE_CHECKING:
    from artifact_pipeline.artifact.manifest import Manifest
    from artifact_pipeline.artifact.open import Predictor, Verified
    from artifact_pipeline.artifact.signing import (
        Certificates,
        Identity,
        PublicKey,
        Signer,
        certificates,
        public_key,
    )
    from artifact_pipeline.bringing import Sealed, seal, seal_pickle
    from artifact_pipeline.catalog import artifacts, diff, runs, show, write_report
    from artifact_pipeline.checkout import load_model, save_model
    from artifact_pipeline.config import load_config, schema
    from artifact_pipeline.doctor import Checkup, examine
    from artifact_pipeline.drafting import Draft, draft, write_config
    from artifact_pipeline.errors import (
        ArtifactNotFound,
        CallError,
        ConfigError,
        ConfigNotFound,
        DataError,
        GateMissed,
        PipelineError,
        ReproductionDiffers,
        StoreError,
        StoreUnsound,
        TestsFailed,
        TrainerDied,
        UntrustedModel,
        VerificationError,
    )
    from artifact_pipeline.evaluation import evaluate_model
    from artifact_pipeline.inference import evaluate, infer, open_artifact, write_predictions
    from artifact_pipeline.observation import classification_report
    from artifact_pipeline.pipeline import run, train
    from artifact_pipeline.plan import recipe_of
    from artifact_pipeline.policy import (
        require_signature,
        sign,
        signer_of,
        trusted,
        verified,
        verify,
    )
    from artifact_pipeline.promotion import promote, promotions
    from artifact_pipeline.record import Run
    from artifact_pipeline.reproduction import Reproduction, reproduce
    from artifact_pipeline.serving.options import Asked, ServerOptions
    from artifact_pipeline.serving.server import serve
    from artifact_pipeline.store import Promotion
    from artifact_pipeline.training import load_data, train_model

_MODULES = {
    "artifact.manifest": ("Manifest",),
    "artifact.open": ("Predictor", "Verified"),
    "artifact.signing": (
        "Certificates",
        "Identity",
        "PublicKey",
        "Signer",
        "certificates",
        "public_key",
    ),
    "bringing": ("Sealed", "seal", "seal_pickle"),
    "catalog": ("artifacts", "diff", "runs", "show", "write_report"),
    "checkout": ("load_model", "save_model"),
    "config": ("load_config", "schema"),
    "doctor": ("Checkup", "examine"),
    "drafting": ("Draft", "draft", "write_config"),
    "errors": (
        "ArtifactNotFound",
        "CallError",
        "ConfigError",
        "ConfigNotFound",
        "DataError",
        "GateMissed",
        "PipelineError",
        "ReproductionDiffers",
        "StoreError",
        "StoreUnsound",
        "TestsFailed",
        "TrainerDied",
        "UntrustedModel",
        "VerificationError",
    ),
    "evaluation": ("evaluate_model",),
    "inference": ("evaluate", "infer", "open_artifact", "write_predictions"),
    "observation": ("classification_report",),
    "pipeline": ("run", "train"),
    "plan": ("recipe_of",),
    "policy": ("require_signature", "sign", "signer_of", "trusted", "verified", "verify"),
    "promotion": ("promote", "promotions"),
    "record": ("Run",),
    "reproduction": ("Reproduction", "reproduce"),
    "serving.options": ("Asked", "ServerOptions"),
    "serving.server": ("serve",),
    "store": ("Promotion",),
    "training": ("load_data", "train_model"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "ArtifactNotFound",
    "Asked",
    "CallError",
    "Certificates",
    "Checkup",
    "ConfigError",
    "ConfigNotFound",
    "DataError",
    "Draft",
    "GateMissed",
    "Identity",
    "Manifest",
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
    "StoreError",
    "StoreUnsound",
    "TestsFailed",
    "TrainerDied",
    "UntrustedModel",
    "VerificationError",
    "Verified",
    "artifacts",
    "certificates",
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
    "trusted",
    "verified",
    "verify",
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
