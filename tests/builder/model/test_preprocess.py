"""`preprocess: auto`: the encoding of text by how many texts a column has."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import OneHotEncoder

import artifact_pipeline as api
from artifact_pipeline.builder.config.resolved import ModelConfig
from artifact_pipeline.builder.model.construction import build, resolve
from artifact_pipeline.builder.model.fit import fit
from artifact_pipeline.errors import DataError

LOGISTIC = "sklearn.linear_model.LogisticRegression"


def config(path, model=LOGISTIC):
    return {
        "name": "shops",
        "data": {"path": str(path), "target": "y"},
        "model": {"preprocess": "auto", "estimator": model},
    }


def branches(estimator, distinct, target="class"):
    model = ModelConfig(estimator=estimator, preprocess="auto")
    columns = dict.fromkeys(distinct, "text")
    steps = resolve(model, 7, target=target, columns=columns, distinct=distinct).steps
    return {branch.name: branch for branch in steps[0].branches}


def shops(count, rows, seed=0):
    """Return a table whose target depends on which of `count` shops a row is from."""
    rng = np.random.default_rng(seed)
    shop = rng.integers(count, size=rows)
    table = pd.DataFrame({"shop": [f"shop {k}" for k in shop], "n": rng.normal(size=rows)})
    table["y"] = np.where(rng.normal(size=count)[shop] + 0.3 * table.n > 0, "yes", "no")
    return table


@pytest.mark.parametrize(
    ("estimator", "sparse"),
    [
        (LOGISTIC, True),
        ("sklearn.ensemble.RandomForestClassifier", True),
        ("sklearn.ensemble.HistGradientBoostingClassifier", False),
        ("sklearn.neighbors.KNeighborsClassifier", False),
        ("sklearn.naive_bayes.GaussianNB", False),
        ("xgboost.XGBClassifier", False),
    ],
)
def test_one_hot_columns_are_sparse_where_the_estimator_and_its_forms_take_that(estimator, sparse):
    assert branches(estimator, {"city": 8})["text"].params["sparse_output"] is sparse


def test_a_column_of_many_texts_is_encoded_by_the_target():
    made = branches(LOGISTIC, {"city": 50, "street": 51})
    assert (made["text"].columns, made["encoded"].columns) == (["city"], ["street"])
    assert "target_type" not in made["encoded"].steps[0].params
    number = branches("sklearn.linear_model.Ridge", {"street": 51}, target="number")["encoded"]
    assert number.steps[0].params["target_type"] == "continuous"


def test_target_encoding_is_seeded():
    model = ModelConfig(estimator=LOGISTIC, preprocess="auto")
    resolved = resolve(model, 7, columns={"shop": "text"}, distinct={"shop": 60})
    table = shops(60, 400)
    fits = [fit(build(resolved), table[["shop"]], table.y) for _ in range(2)]
    assert fits[0].estimator[-1].coef_ == fits[1].estimator[-1].coef_
    assert not fits[0].warnings


@pytest.mark.slow
def test_target_encoding_learns_as_much_as_a_column_for_each_text(tmp_path):
    """One-hot columns without a bound are the reference; cross-fitting avoids overfitting."""
    table = shops(200, 4000)
    table.to_csv(tmp_path / "t.csv", index=False)
    run = api.run(config(tmp_path / "t.csv"), store=tmp_path / "store")
    train, test = train_test_split(table, test_size=0.2, random_state=42, stratify=table.y)
    encoder = OneHotEncoder(handle_unknown="ignore").fit(train[["shop"]])
    plain = LogisticRegression().fit(encoder.transform(train[["shop"]]), train.y)
    reached = accuracy_score(test.y, plain.predict(encoder.transform(test[["shop"]])))
    assert run.metrics.test["accuracy"] > reached - 0.02 > 0.7


@pytest.mark.slow
def test_a_column_of_unique_texts_is_left_out_with_a_warning_and_not_asked_for(tmp_path):
    table = shops(5, 200)
    table.insert(0, "comment", [f"comment number {index}" for index in range(200)])
    table.to_csv(tmp_path / "t.csv", index=False)
    run = api.run(config(tmp_path / "t.csv"), store=tmp_path / "store")
    warning = next(text for text in run.warnings if "'comment'" in text)
    assert "has 200 different texts in 200 rows" in warning and "TfidfVectorizer" in warning
    artifact = api.open_artifact(run.artifact, digest=run.digest)
    assert artifact.manifest.interface.features == ["shop", "n"]
    assert artifact.predict(pd.DataFrame({"shop": ["shop 1"], "n": [0.0]}))[0] in ("yes", "no")


@pytest.mark.slow
def test_a_table_of_unique_texts_only_is_refused(tmp_path):
    lines = [json.dumps({"comment": f"c {i}", "y": "ab"[i % 2]}) for i in range(120)]
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    with pytest.raises(DataError, match="'comment' has 120 different texts in 120 rows"):
        api.run(config(tmp_path / "t.jsonl"), store=tmp_path / "store")
