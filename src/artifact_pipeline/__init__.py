"""Train scikit-learn models from JSON configs into sealed artifacts, and use them.

    from artifact_pipeline import open_artifact, train

    run = train("config/config.json")
    model = open_artifact(run.artifact, digest=run.digest)
    model.predict(X)

`docs/api.md` describes the names in `__all__`. Each is imported when it is first used, so that
importing this package loads no numpy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from artifact_pipeline._version import __version__ as __version__

_EXPORTS = {
    # training
    "run": "pipeline.run",
    "train": "pipeline.run",
    "Run": "pipeline.record",
    "recipe_of": "pipeline.plan",
    "reproduce": "pipeline.reproduce",
    "Reproduction": "pipeline.reproduce",
    "seal": "pipeline.import_model",
    "Sealed": "pipeline.import_model",
    "draft": "pipeline.draft_config",
    "write_config": "pipeline.draft_config",
    "Draft": "pipeline.draft_config",
    "schema": "builder.config.json_schema",
    # using an artifact
    "open_artifact": "inference.predict",
    "Predictor": "inference.predictor",
    "infer": "inference.predict",
    "infer_files": "inference.infer_files",
    "FilePredictions": "inference.infer_files",
    "write_predictions": "inference.predict",
    "Prediction": "inference.predict",
    "evaluate": "pipeline.evaluate",
    "Evaluated": "pipeline.evaluate",
    "compare": "pipeline.compare",
    "Comparison": "pipeline.compare",
    "write_report": "report.write",
    "write_board": "report.board",
    "Board": "report.board",
    "serve": "serving.server",
    "ServerOptions": "serving.options",
    "ModelSpec": "serving.options",
    "export": "exports.export",
    "Exported": "exports.export",
    "check_bom": "exports.cyclonedx",
    "check_provenance": "exports.provenance",
    "RunDetails": "exports.provenance",
    # trust
    "check_integrity": "store.access",
    "open_trusted": "store.access",
    "Verified": "verification.verify",
    "sign": "store.access",
    "require_signature": "store.policy",
    "public_key": "verification.signatures",
    "certificates": "verification.signatures",
    "Identity": "verification.signatures",
    "Signer": "verification.signatures",
    # a store
    "artifacts": "store.queries",
    "Listed": "store.queries",
    "runs": "store.queries",
    "run_rows": "store.run_query",
    "RunRow": "store.run_rows",
    "PastRun": "store.journal",
    "show": "store.queries",
    "Shown": "store.queries",
    "promote": "store.promotion",
    "rollback": "store.promotion",
    "remove_alias": "store.promotion",
    "RemovedAlias": "store.events",
    "promotions": "store.queries",
    "Promotion": "store.events",
    "tag": "store.promotion",
    "TagChange": "store.events",
    "history": "store.history",
    "HistoryEntry": "store.history",
    "alias_at": "store.history",
    "AliasAt": "store.history",
    "prune": "store.prune",
    "PruneReport": "store.prune",
    "PrunedArtifact": "store.prune",
    "Store": "pipeline.notebook_store",
    "push": "remote.push",
    "Pushed": "remote.push",
    "promote_remote": "remote.push",
    "pull": "remote.pull",
    "Pulled": "remote.pull",
    "list_remote": "remote.listing",
    "RemoteArtifact": "remote.listing",
    "examine": "store.check",
    "HealthReport": "store.check",
    # the functions of the course assignment
    "load_config": "builder.config.loader",
    "load_data": "pipeline.in_process",
    "train_model": "pipeline.in_process",
    "evaluate_model": "pipeline.in_process",
    "save_model": "store.pickles",
    "load_model": "store.pickles",
    # errors
    "PipelineError": "errors",
    "Location": "errors",
    "CheckFailed": "errors",
    "GateMissed": "errors",
    "TestsFailed": "errors",
    "ReproductionDiffers": "errors",
    "StoreDamaged": "errors",
    "CallError": "errors",
    "ArtifactNotFound": "errors",
    "ConfigError": "errors",
    "ConfigNotFound": "errors",
    "DataError": "errors",
    "VerificationError": "errors",
    "UntrustedModel": "errors",
    "EnvironmentFailure": "errors",
    "StoreError": "errors",
    "NetworkError": "errors",
    "MissingDependency": "errors",
    "TrainerDied": "errors",
}
"""Each public name and the module that defines it."""

if TYPE_CHECKING:  # the same list, for type checkers
    # isort: off
    from artifact_pipeline.builder.config.json_schema import (
        schema as schema,
    )
    from artifact_pipeline.builder.config.loader import (
        load_config as load_config,
    )
    from artifact_pipeline.errors import (
        ArtifactNotFound as ArtifactNotFound,
        CallError as CallError,
        CheckFailed as CheckFailed,
        ConfigError as ConfigError,
        ConfigNotFound as ConfigNotFound,
        DataError as DataError,
        EnvironmentFailure as EnvironmentFailure,
        GateMissed as GateMissed,
        Location as Location,
        MissingDependency as MissingDependency,
        NetworkError as NetworkError,
        PipelineError as PipelineError,
        ReproductionDiffers as ReproductionDiffers,
        StoreDamaged as StoreDamaged,
        StoreError as StoreError,
        TestsFailed as TestsFailed,
        TrainerDied as TrainerDied,
        UntrustedModel as UntrustedModel,
        VerificationError as VerificationError,
    )
    from artifact_pipeline.exports.cyclonedx import check_bom as check_bom
    from artifact_pipeline.exports.export import (
        Exported as Exported,
        export as export,
    )
    from artifact_pipeline.exports.provenance import (
        RunDetails as RunDetails,
        check_provenance as check_provenance,
    )
    from artifact_pipeline.inference.infer_files import (
        FilePredictions as FilePredictions,
        infer_files as infer_files,
    )
    from artifact_pipeline.inference.predict import (
        Prediction as Prediction,
        infer as infer,
        open_artifact as open_artifact,
        write_predictions as write_predictions,
    )
    from artifact_pipeline.inference.predictor import (
        Predictor as Predictor,
    )
    from artifact_pipeline.pipeline.compare import (
        Comparison as Comparison,
        compare as compare,
    )
    from artifact_pipeline.pipeline.draft_config import (
        Draft as Draft,
        draft as draft,
        write_config as write_config,
    )
    from artifact_pipeline.pipeline.evaluate import (
        Evaluated as Evaluated,
        evaluate as evaluate,
    )
    from artifact_pipeline.pipeline.import_model import (
        Sealed as Sealed,
        seal as seal,
    )
    from artifact_pipeline.pipeline.in_process import (
        evaluate_model as evaluate_model,
        load_data as load_data,
        train_model as train_model,
    )
    from artifact_pipeline.pipeline.notebook_store import (
        Store as Store,
    )
    from artifact_pipeline.pipeline.plan import (
        recipe_of as recipe_of,
    )
    from artifact_pipeline.pipeline.record import (
        Run as Run,
    )
    from artifact_pipeline.pipeline.reproduce import (
        Reproduction as Reproduction,
        reproduce as reproduce,
    )
    from artifact_pipeline.pipeline.run import (
        run as run,
        train as train,
    )
    from artifact_pipeline.remote.listing import (
        RemoteArtifact as RemoteArtifact,
        list_remote as list_remote,
    )
    from artifact_pipeline.remote.pull import (
        Pulled as Pulled,
        pull as pull,
    )
    from artifact_pipeline.remote.push import (
        Pushed as Pushed,
        promote_remote as promote_remote,
        push as push,
    )
    from artifact_pipeline.report.board import (
        Board as Board,
        write_board as write_board,
    )
    from artifact_pipeline.report.write import (
        write_report as write_report,
    )
    from artifact_pipeline.serving.options import (
        ModelSpec as ModelSpec,
        ServerOptions as ServerOptions,
    )
    from artifact_pipeline.serving.server import (
        serve as serve,
    )
    from artifact_pipeline.store.access import (
        check_integrity as check_integrity,
        open_trusted as open_trusted,
        sign as sign,
    )
    from artifact_pipeline.store.check import (
        HealthReport as HealthReport,
        examine as examine,
    )
    from artifact_pipeline.store.events import (
        Promotion as Promotion,
        RemovedAlias as RemovedAlias,
        TagChange as TagChange,
    )
    from artifact_pipeline.store.history import (
        AliasAt as AliasAt,
        HistoryEntry as HistoryEntry,
        alias_at as alias_at,
        history as history,
    )
    from artifact_pipeline.store.journal import (
        PastRun as PastRun,
    )
    from artifact_pipeline.store.pickles import (
        load_model as load_model,
        save_model as save_model,
    )
    from artifact_pipeline.store.policy import (
        require_signature as require_signature,
    )
    from artifact_pipeline.store.prune import (
        PrunedArtifact as PrunedArtifact,
        PruneReport as PruneReport,
        prune as prune,
    )
    from artifact_pipeline.store.promotion import (
        promote as promote,
        remove_alias as remove_alias,
        rollback as rollback,
        tag as tag,
    )
    from artifact_pipeline.store.queries import (
        Listed as Listed,
        Shown as Shown,
        artifacts as artifacts,
        promotions as promotions,
        runs as runs,
        show as show,
    )
    from artifact_pipeline.store.run_query import (
        run_rows as run_rows,
    )
    from artifact_pipeline.store.run_rows import (
        RunRow as RunRow,
    )
    from artifact_pipeline.verification.signatures import (
        Identity as Identity,
        Signer as Signer,
        certificates as certificates,
        public_key as public_key,
    )
    from artifact_pipeline.verification.verify import (
        Verified as Verified,
    )

__all__ = sorted(_EXPORTS)


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_EXPORTS[name]}"), name)


def __dir__() -> list[str]:
    return __all__
