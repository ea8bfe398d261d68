"""The data of the sections of a report."""

from __future__ import annotations

from typing import NamedTuple

from artifact_pipeline.builder.artifact.diagnostics import ConfidenceInterval, Diagnostics
from artifact_pipeline.builder.artifact.evaluation import EvaluationReport
from artifact_pipeline.builder.artifact.manifest import Manifest
from artifact_pipeline.builder.metric_table import BY_NAME, heading, headline_metrics
from artifact_pipeline.report.context import RunContext


class ReportData(NamedTuple):
    """A verified artifact, its evaluation, and the run that made it."""

    digest: str
    manifest: Manifest
    evaluation: EvaluationReport
    diagnostics: Diagnostics | None
    """None for artifacts of earlier releases."""
    run: RunContext | None

    @property
    def headline(self) -> str:
        """The metric that the model is judged by."""
        known = None if self.diagnostics is None else self.diagnostics.headline
        if known is not None and known in self.manifest.metrics.test:
            return known
        return headline_metrics(self.manifest.recipe.data.schema.target)[0].name

    def interval(self, metric: str) -> ConfidenceInterval | None:
        """Return the confidence interval of a metric on the held-out rows."""
        return None if self.diagnostics is None else self.diagnostics.intervals.get(metric)

    @property
    def target(self) -> str:
        """The name of the target, with its unit if the config gives one."""
        schema = self.manifest.recipe.data.schema
        for column in schema.columns or ():
            if column.role == "target":
                unit = None if column.format is None else column.format.unit
                return column.name if unit is None else f"{column.name} ({unit})"
        return self.manifest.recipe.data.dataset or "target"

    @property
    def unit(self) -> str:
        """The unit of the target after a space, or nothing."""
        schema = self.manifest.recipe.data.schema
        formats = [column.format for column in schema.columns or () if column.role == "target"]
        units = [f" {form.unit}" for form in formats if form is not None and form.unit is not None]
        return "".join(units)

    def names(self) -> list[str]:
        """Return the name of each label."""
        return self.manifest.interface.label_names


def worded(metric: str) -> str:
    """Return the heading of a metric, marked if lower values are better."""
    known = BY_NAME.get(metric)
    return f"{heading(metric)} ↓" if known and known.lower_is_better else heading(metric)
