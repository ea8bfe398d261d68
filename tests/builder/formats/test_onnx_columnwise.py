"""Graphs of imputers and encoders of mixed columns."""

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from artifact_pipeline.builder.data.dataset import batch
from artifact_pipeline.builder.formats import onnx_export, onnx_format
from artifact_pipeline.builder.model.estimators import predict_with_proba
from artifact_pipeline.errors import Location

TABLE = pd.DataFrame({
    "n": np.where(np.arange(60) % 9 == 0, np.nan, np.arange(60) % 7),
    "t": pd.Series(["a", "b", "c"] * 20, dtype=object),
    "m": np.arange(60) % 5 * 1.5,
})  # fmt: skip
LABELS = np.arange(60) % 7 > 3


@pytest.mark.parametrize(
    "steps",
    [
        (SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"),
         RandomForestClassifier(5, random_state=0)),
        (SimpleImputer(strategy="most_frequent"),
         OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
         LogisticRegression()),
        (OneHotEncoder(handle_unknown="ignore"), LogisticRegression()),
    ],
)  # fmt: skip
def test_numbers_and_text_are_imputed_and_encoded_together(steps):
    fitted = make_pipeline(*steps).fit(TABLE, LABELS)
    rows = TABLE.copy()
    rows.loc[3, "t"], rows.loc[4, "m"], rows.loc[5, "n"] = "new", 99.0, np.nan
    form, graph = next(onnx_export.export(fitted, batch(rows)))
    assert isinstance(graph, onnx_export.ExportedGraph), graph
    found = onnx_format.load(graph.data, Location("m"))(batch(rows))
    predicted, probabilities = predict_with_proba(fitted, rows)
    assert form.dtype == "float64"
    np.testing.assert_array_equal(found.predicted, predicted)
    np.testing.assert_allclose(found.probabilities, probabilities, atol=1e-9)
