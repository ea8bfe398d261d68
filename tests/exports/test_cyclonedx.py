"""The bill of materials, checked by CycloneDX's own schema."""

import base64
import json

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

import artifact_pipeline as api
from tests.support.artifacts import variant
from tests.support.configs import FIXTURES

SCHEMA = JsonStrictValidator(SchemaVersion.V1_6)


def bom(artifact, folder):
    api.export(artifact, "cyclonedx", output=folder / "bom.json")
    text = (folder / "bom.json").read_text("utf-8")
    assert SCHEMA.validate_str(text) is None
    return json.loads(text)


def test_the_bill_lists_model_data_and_packages(digits, tmp_path):
    found = bom(digits.folder, tmp_path)
    manifest = json.loads((digits.folder / "manifest.json").read_bytes())
    model = found["metadata"]["component"]
    assert model["hashes"] == [{"alg": "SHA-256", "content": digits.digest[7:]}]
    metrics = model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    measured = {m["type"]: float(m["value"]) for m in metrics if m["slice"] == "held-out rows"}
    assert measured == manifest["metrics"]["test"]
    data, *packages = found["components"]
    assert data["hashes"][0]["content"] == manifest["recipe"]["data"]["digest"][7:]
    assert {p["name"]: p["version"] for p in packages} == manifest["recipe"]["packages"]
    assert [ref["ref"] for ref in model["modelCard"]["modelParameters"]["datasets"]] == [
        data["bom-ref"]
    ]


def test_equal_artifacts_have_equal_bills(digits, tmp_path):
    assert bom(digits.folder, tmp_path) == bom(digits.folder, tmp_path)


@pytest.mark.parametrize("name", ["version-1-onnx", "version-1-skops"])
def test_earlier_artifacts_have_a_bill(name, tmp_path):
    assert bom(FIXTURES / name, tmp_path)["metadata"]["component"]["hashes"]


def test_tables_and_numbers_have_a_bill(churn, ridge, tmp_path):
    assert bom(churn.artifact, tmp_path)["components"][0]["name"] == "churn"
    model = bom(ridge, tmp_path)["metadata"]["component"]
    assert model["modelCard"]["modelParameters"]["task"] == "regression"


def test_hostile_text_stays_text(digits, tmp_path):
    text = '"}<script>\u2028\x00'
    artifact = tmp_path / "hostile"
    artifact.mkdir()
    for name, data in variant(digits.folder, "", description=text).items():
        (artifact / name).write_bytes(data)
    assert bom(artifact, tmp_path)["metadata"]["component"]["description"] == text


def test_a_signed_bill_is_a_statement_about_the_artifact(digits, keys, tmp_path):
    path = tmp_path / "bom.json"
    api.export(digits.folder, "cyclonedx", output=path, key=keys / "ours.pem")
    statement = json.loads(base64.b64decode(json.loads(path.read_bytes())["payload"]))
    assert statement["predicateType"] == "https://cyclonedx.org/bom"
    assert statement["subject"][0]["digest"]["sha256"] == digits.digest[7:]
    assert SCHEMA.validate_str(json.dumps(statement["predicate"])) is None
