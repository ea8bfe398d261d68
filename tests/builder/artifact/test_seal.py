"""Sealing: a pure function from a result to the files of an artifact."""

import json

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artifact_pipeline.builder import canonical
from artifact_pipeline.builder.artifact.evaluation import EvaluationReport
from artifact_pipeline.builder.artifact.seal import seal
from artifact_pipeline.builder.config.resolved import ModelConfig, Step
from artifact_pipeline.store.store import Store
from artifact_pipeline.verification.verify import verify

texts = st.text(st.characters(exclude_categories=["Cs"]))
params = st.dictionaries(texts, texts)
known_scores = dict.fromkeys(
    ("accuracy", "f1_weighted", "f1_macro", "precision_weighted", "recall_weighted"), 0.5
)
scores = st.dictionaries(texts, st.floats(0, 1), max_size=2).map(lambda more: known_scores | more)


@pytest.mark.slow
@settings(
    max_examples=50,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(onnx=st.binary(), pickle=st.binary(), train=scores, test=scores, params=params)
def test_a_sealed_artifact_opens_with_its_inputs(
    digits, tmp_path, onnx, pickle, train, test, params
):
    known = verify(digits.folder)
    model = ModelConfig(
        steps=[
            Step(name="model", estimator="sklearn.linear_model.LogisticRegression", params=params)
        ]
    )
    recipe = msgspec.structs.replace(known.manifest.recipe, model=model)
    metrics = msgspec.structs.replace(known.manifest.metrics, train=train, test=test)
    evaluation = known.evaluation()
    parts = {
        "split": known.manifest.split,
        "metrics": metrics,
        "interface": known.manifest.interface,
        "parity": known.manifest.parity,
        "evaluation": evaluation,
        "model": onnx,
        "pickle": pickle,
    }
    files = seal(recipe, **parts)
    assert files == seal(recipe, **parts)
    store = Store(tmp_path / "store")
    digest = store.add(files).digest
    opened = verify(store.artifacts.path(digest), digest)
    assert opened.manifest.recipe == recipe
    assert opened.manifest.metrics == metrics
    assert opened.files["model.onnx"] == onnx
    assert opened.files["model_train.pkl"] == pickle
    assert opened.evaluation() == evaluation
    assert store.add(files).digest == digest


def test_an_artifact_holds_nothing_of_the_run(digits):
    whole = b"".join(path.read_bytes() for path in digits.folder.iterdir())
    record = json.loads(next((digits.store / "runs").iterdir()).read_bytes())
    for word in (str(digits.store.parent), record["run"], record["started"][:10]):
        assert word.encode() not in whole


def test_an_evaluation_is_canonical_json(digits):
    data = (digits.folder / "evaluation.json").read_bytes()
    assert canonical.encode(canonical.decode(data)) == data
    assert msgspec.convert(canonical.decode(data), EvaluationReport).rows == 360


def test_yaml_and_json_readers_read_the_head_of_the_card(digits):
    text = (digits.folder / "README.md").read_text("utf-8")
    _, head, body = text.split("---\n", 2)
    results = json.loads(head)["model-index"][0]["results"][0]
    assert results["metrics"][0] == {"type": "accuracy", "value": 0.9583333333333334}
    assert "| Accuracy | 1.0000 | 0.9583 |" in body


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", "[x](y)", "`a`\n# b", "a|b"])
def test_user_text_is_escaped_in_the_card(digits, hostile):
    known = verify(digits.folder)
    model = ModelConfig(estimator="sklearn.svm.SVC", params={"kernel": hostile})
    recipe = msgspec.structs.replace(known.manifest.recipe, model=model)
    files = seal(
        recipe,
        split=known.manifest.split,
        metrics=known.manifest.metrics,
        interface=known.manifest.interface,
        parity=known.manifest.parity,
        evaluation=known.evaluation(),
        model=b"",
        pickle=b"",
    )
    card = files["README.md"].decode()
    assert hostile not in card and "\n# b" not in card
