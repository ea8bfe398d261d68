"""The bill of materials, checked by CycloneDX's own schema."""

import base64
import json

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

import artifact_pipeline as api
from tests.support.artifacts import variant
from tests.support.command import call
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
    signers = [api.public_key(keys / "ours.pub")]
    api.check_bom(api.check_integrity(digits.folder), path, signers=signers)
    with pytest.raises(api.VerificationError, match="not signed by the required signer"):
        signers = [api.public_key(keys / "other.pub")]
        api.check_bom(api.check_integrity(digits.folder), path, signers=signers)
    with pytest.raises(api.VerificationError, match="is not a provenance"):
        api.check_provenance(api.check_integrity(digits.folder), path)


CHANGES = {
    "a package": lambda b: b["components"][-1].update(version="0.1"),
    "a package left out": lambda b: b["components"].pop(),
    "a metric": lambda b: b["metadata"]["component"]["modelCard"]["quantitativeAnalysis"][
        "performanceMetrics"][0].update(value="1.0"),
    "the data": lambda b: b["components"][0]["hashes"][0].update(content="0" * 64),
    "a number of another type": lambda b: b.update(version=1.0),
    "more": lambda b: b.update(annotations=[]),
    "the format": lambda b: b.update(bomFormat="other"),
}  # fmt: skip


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_bill_is_refused(change, signed, digits, keys, tmp_path):
    path = tmp_path / "bom.json"
    api.export(digits.folder, "cyclonedx", output=path, key=keys / "ours.pem" if signed else None)
    document = json.loads(path.read_bytes())
    if signed:
        document = json.loads(base64.b64decode(document["payload"]))
    CHANGES[change](document["predicate"] if signed else document)
    path.write_text(json.dumps(document))
    with pytest.raises(api.VerificationError, match="is not the bill of materials"):
        api.check_bom(api.check_integrity(digits.folder), path)


def test_verify_takes_a_bill_as_it_takes_a_provenance(digits, tmp_path):
    api.export(digits.folder, "cyclonedx", output=tmp_path / "bom.json")
    verify = ("verify", digits.folder, "--provenance", "bom.json")
    done = call(*verify, cwd=tmp_path)
    assert done.code == 0 and "the bill of materials is that of this artifact" in done.out
    pretty = json.dumps(json.loads((tmp_path / "bom.json").read_bytes()), indent=2)
    (tmp_path / "bom.json").write_text(pretty.replace("scikit-learn", "scikit-learm"))
    done = call(*verify, cwd=tmp_path)
    assert done.code == 4 and len(done.err.splitlines()) == 1
