"""The trainer's response after a training, without its arrays.

Only processes that train import it, because `edge_cases` is large.
"""

from msgspec import Struct

from artifact_pipeline.builder.artifact.evaluation import EvaluationReport
from artifact_pipeline.builder.artifact.manifest import (
    ColumnSpec,
    Label,
    SplitSummary,
    TrainingValues,
)
from artifact_pipeline.builder.data.dataset import Image
from artifact_pipeline.builder.evaluation.edge_columns import Column, Flaw


class EdgeCaseAnswers(Struct, frozen=True, kw_only=True):
    """Edge cases that the estimator accepts, without their rows; see `edge_answers.Answers`."""

    kinds: list[str]
    flaws: list[list[Flaw]]
    columns: list[Column]
    refused: list[Flaw]
    counts: dict[str, int]
    lowercase: list[int]


class TrainingResult(Struct, frozen=True, tag=True, kw_only=True):
    """The measurements of a fitted estimator, and its side of the interface."""

    split: SplitSummary
    evaluation: EvaluationReport
    warnings: list[str]
    features: list[str]
    labels: list[Label]
    label_names: list[str]
    image: Image | None
    columns: list[ColumnSpec] | None
    """None if the rows are a matrix."""
    training: list[TrainingValues]
    edge_cases: EdgeCaseAnswers
