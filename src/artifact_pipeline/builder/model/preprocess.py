"""The steps of `preprocess: auto`, by the kinds and the contents of a table's columns.

Numbers are imputed and scaled. A text column with at most `MANY_TEXTS` distinct texts is one-hot
encoded, one with more is encoded by the target, and one whose texts hardly repeat is left out.

>>> ridge = ModelConfig(estimator="sklearn.linear_model.Ridge", preprocess="auto")
>>> columns = {"city": "text", "street": "text", "age": "number"}
>>> model = steps(ridge, columns, distinct={"city": 8, "street": 700}, target="number", sparse=True)
>>> [branch.name for branch in model.steps[0].branches]
['numbers', 'text', 'encoded']
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from artifact_pipeline.builder.config.messages import show
from artifact_pipeline.builder.config.resolved import Branch, Inner, ModelConfig, Step
from artifact_pipeline.builder.config.values import Kind
from artifact_pipeline.builder.data.dataset import Rows, Target
from artifact_pipeline.errors import DataError

MANY_TEXTS = 50
"""Maximum distinct texts of a one-hot encoded column; more are encoded by the target."""
_SCALE = Inner("sklearn.preprocessing.StandardScaler", {}, "scale")
_NUMBERS = (Inner("sklearn.impute.SimpleImputer", {"strategy": "median"}, "impute"), _SCALE)


def steps(
    model: ModelConfig,
    columns: Mapping[str, Kind] | None,
    *,
    distinct: Mapping[str, int],
    target: Target,
    sparse: bool,
) -> ModelConfig:
    """Return a model with `preprocess: auto` as steps.

    Args:
        model: The model of a config.
        columns: The kinds of a table's features by name; None if the rows are a matrix.
        distinct: The number of distinct texts in each text column; one without is one-hot.
        target: What the model predicts.
        sparse: Whether its estimator takes sparse matrices.
    """
    last = Step(name="model", estimator=model.estimator, params=model.params)
    if columns is None:
        first = [
            Step(name=str(step.name), estimator=step.estimator, params=step.params)
            for step in _NUMBERS
        ]
        return ModelConfig(steps=[*first, last])
    texts = [name for name, kind in columns.items() if kind == "text"]
    numbers = [name for name in columns if name not in texts]
    many = [name for name in texts if distinct.get(name, 0) > MANY_TEXTS]
    few = [name for name in texts if name not in many]
    branches = []
    if numbers:
        branches.append(Branch(name="numbers", columns=numbers, steps=list(_NUMBERS)))
    if few:
        # With max_categories, which no column here exceeds, the encoder would count each cell.
        params = {"handle_unknown": "ignore", "sparse_output": sparse}
        branches.append(
            Branch(
                name="text",
                columns=few,
                estimator="sklearn.preprocessing.OneHotEncoder",
                params=params,
            )
        )
    if many:
        encode = Inner("sklearn.preprocessing.TargetEncoder", target_encoding(target), "encode")
        branches.append(Branch(name="encoded", columns=many, steps=[encode, _SCALE]))
    return ModelConfig(steps=[Step(name="prep", branches=branches, remainder="drop"), last])


def target_encoding(target: Target) -> dict[str, str]:
    """Return the parameters of a TargetEncoder, which takes whole numbers for classes."""
    return {"target_type": "continuous"} if target == "number" else {}


def distinct_texts(rows: Rows) -> dict[str, int]:
    """Return the number of distinct texts in each text column, except missing ones."""
    texts = [name for name, kind in (rows.columns() or {}).items() if kind == "text"]
    return {name: len(set(rows.X[name].tolist()) - {""}) for name in texts}


def without_unique_texts(rows: Rows) -> Rows:
    """Return rows without the text columns whose texts hardly repeat, such as names and prose.

    Such a column has more than `MANY_TEXTS` distinct texts, and at least one for every two rows.

    Raises:
        DataError: If no feature is left.
    """
    counts = {
        name: count
        for name, count in distinct_texts(rows).items()
        if count > MANY_TEXTS and 2 * count > len(rows.y)
    }
    if not counts:
        return rows
    kept = [name for name in rows.feature_names if name not in counts]
    if not kept:
        name, count = next(iter(counts.items()))
        raise DataError(
            f"the column {show(name)} has {count} different texts in {len(rows.y)} rows, and no "
            "other feature is left",
            remedy="name the steps for it in model.steps, such as a TfidfVectorizer",
        )
    schema = rows.description.schema
    columns = [
        replace(column, role="unused", kind=None, format=None) if column.name in counts else column
        for column in schema.columns or ()
    ]
    has_text = any(column.role == "feature" and column.kind == "text" for column in columns)
    schema = replace(
        schema,
        columns=columns,
        features=len(kept),
        dtype="mixed" if has_text else "float64",
    )
    notes = [
        f"the column {show(name)} has {count} different texts in {len(rows.y)} rows, too many to "
        "learn from each, and is left out; for its words use model.steps with a TfidfVectorizer"
        for name, count in counts.items()
    ]
    return rows._replace(
        X=rows.X[kept],
        feature_names=kept,
        description=replace(rows.description, schema=schema),
        notes=(*rows.notes, *notes),
    )
