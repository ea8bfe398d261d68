"""Provenance: read by in-toto's own classes, signed as DSSE, and checked against the artifact."""

import base64
import json
import shutil

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

import artifact_pipeline as api
from tests.support.command import call
from tests.support.configs import FIXTURES
from tests.support.keys import pair


@pytest.fixture(scope="module")
def written(digits, tmp_path_factory):
    """The provenance of the digits artifact."""
    path = tmp_path_factory.mktemp("provenance") / "p.json"
    api.export(digits.digest, "slsa", output=path, store=digits.store)
    return path.read_bytes()


def check(digits, path, *words):
    return call("verify", digits.folder, "--provenance", path, *words, cwd=path.parent)


def parse(data):
    """Return a statement and its predicate by in-toto's schema, which knows every field."""
    message = json_format.Parse(data, statement_pb2.Statement())
    Statement.copy_from_pb(message).validate()
    predicate = json_format.ParseDict(
        json_format.MessageToDict(message.predicate), provenance_pb2.Provenance()
    )
    return message, predicate


def test_the_statement_is_in_toto_with_a_slsa_predicate(digits, written):
    message, predicate = parse(written)
    assert message.type == "https://in-toto.io/Statement/v1"
    assert message.predicate_type == "https://slsa.dev/provenance/v1"
    digests = {subject.name: subject.digest["sha256"] for subject in message.subject}
    assert digests["manifest.json"] == digits.digest.removeprefix("sha256:")
    assert digests.keys() == {path.name for path in digits.folder.iterdir()}
    recipe = json.loads((digits.folder / "manifest.json").read_bytes())["recipe"]
    definition = predicate.build_definition
    uris = {dependency.uri for dependency in definition.resolved_dependencies}
    assert {f"pkg:pypi/{name}@{version}" for name, version in recipe["packages"].items()} <= uris
    [data] = [d for d in definition.resolved_dependencies if d.name == "data: digits"]
    assert data.digest["sha256"] == recipe["data"]["digest"].removeprefix("sha256:")
    parameters = json_format.MessageToDict(definition.external_parameters)
    assert parameters["model"] == recipe["model"]


def test_the_run_details_are_of_the_run_without_host_and_paths(digits, written):
    _, predicate = parse(written)
    details = predicate.run_details
    record = json.loads(next((digits.store / "runs").glob("*.json")).read_bytes())
    assert details.metadata.invocation_id == record["run"]
    start = details.metadata.started_on.ToDatetime()
    assert record["started"].startswith(start.isoformat(timespec="milliseconds"))
    assert start < details.metadata.finished_on.ToDatetime()
    content = json.loads(details.byproducts[0].content)
    assert content["outcome"] == "done" and content["host"]["machine"]
    assert "name" not in content["host"] and str(digits.store.parent) not in str(content)


@pytest.mark.parametrize("name", ["version-1-onnx", "version-1-skops"])
def test_an_artifact_without_a_run_has_a_provenance(name, tmp_path):
    api.export(FIXTURES / name, "slsa", output=tmp_path / "p.json")
    parse((tmp_path / "p.json").read_bytes())
    done = call("verify", FIXTURES / name, "--provenance", "p.json", cwd=tmp_path)
    assert done.code == 0 and "the provenance is that of this artifact" in done.out


def test_tables_and_numbers_have_a_provenance(churn, ridge, tmp_path):
    for artifact in (churn.artifact, ridge):
        api.export(artifact, "slsa", output=tmp_path / "p.json")
        parse((tmp_path / "p.json").read_bytes())
        assert api.check_provenance(api.check_integrity(artifact), tmp_path / "p.json")


def test_verify_reports_a_provenance(digits, written, tmp_path):
    path = tmp_path / "p.json"
    path.write_bytes(written)
    assert check(digits, path, "--json").json["provenance"] is True


CHANGES = {
    "subject": lambda s: s["subject"][1]["digest"].update(sha256="0" * 64),
    "a file left out": lambda s: s["subject"].pop(),
    "parameter": lambda s: s["predicate"]["buildDefinition"]["externalParameters"]["model"].clear(),
    "int for float": lambda s: s["predicate"]["buildDefinition"]["externalParameters"]["model"][
        "params"].update(C=1),
    "package": lambda s: s["predicate"]["buildDefinition"]["resolvedDependencies"][-1].update(
        uri="pkg:pypi/threadpoolctl@0.1"),
    "data": lambda s: s["predicate"]["buildDefinition"]["resolvedDependencies"][0].pop("digest"),
    "type": lambda s: s.update(_type="https://in-toto.io/Statement/v0.1"),
    "predicate type": lambda s: s.update(predicateType="https://slsa.dev/provenance/v0.2"),
    "another field": lambda s: s.update(more=1),
    "no builder": lambda s: s["predicate"]["runDetails"].pop("builder"),
    "another run field": lambda s: s["predicate"]["runDetails"].update(more=1),
    "builder of another type": lambda s: s["predicate"]["runDetails"]["builder"].update(id=1),
    "no predicate": lambda s: s.pop("predicate"),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_provenance_is_refused(digits, written, tmp_path, change):
    statement = json.loads(written)
    CHANGES[change](statement)
    path = tmp_path / "p.json"
    path.write_text(json.dumps(statement))
    with pytest.raises(api.VerificationError):
        api.check_provenance(api.check_integrity(digits.folder), path)


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b"nonsense", b"\xff", b'{"payloadType":1}', b'{"a":1,"a":2}',
             b'{"payload":"!","payloadType":"application/vnd.in-toto+json","signatures":[]}',
             b'{"payload":"e30=","payloadType":"text/plain","signatures":[]}',
             b"[" * 5000],
)  # fmt: skip
def test_what_is_not_a_provenance_is_refused(digits, tmp_path, data):
    path = tmp_path / "p.json"
    path.write_bytes(data)
    with pytest.raises(api.VerificationError):
        api.check_provenance(api.check_integrity(digits.folder), path)


def test_the_provenance_of_another_artifact_is_refused(written, tmp_path):
    (tmp_path / "p.json").write_bytes(written)
    done = call("verify", FIXTURES / "version-1-onnx", "--provenance", "p.json", cwd=tmp_path)
    assert done.code == 4 and "is not the provenance of this artifact" in done.err
    assert len(done.err.splitlines()) == 1


def test_a_missing_file_is_named(digits, tmp_path):
    done = check(digits, tmp_path / "no.json")
    assert done.code == 2 and "no.json: no such file" in done.err


@pytest.mark.parametrize("curve", [ec.SECP256R1, ec.SECP384R1, ec.SECP521R1])
def test_a_signed_provenance_is_an_envelope_that_others_verify(digits, tmp_path, curve):
    key = pair(tmp_path, "own", ec.generate_private_key(curve()))
    path = tmp_path / "p.json"
    api.export(digits.digest, "slsa", output=path, key=tmp_path / "own.pem", store=digits.store)
    data = json.loads(path.read_bytes())
    public = SSlibKey.from_crypto(key.public_key(), keyid=data["signatures"][0]["keyid"])
    assert Envelope.from_dict(data).verify([public], 1)
    parse(base64.b64decode(data["payload"]))
    verified = api.check_integrity(digits.folder)
    assert api.check_provenance(verified, path, signers=[api.public_key(tmp_path / "own.pub")])


@pytest.mark.slow
def test_the_required_signer_must_have_signed_the_provenance(digits, signed, keys, tmp_path):
    words = ("verify", signed, "--provenance", "p.json", "--public-key", keys / "ours.pub")
    for key, code, message in (
        (None, 4, "is not signed"),
        ("other.pem", 4, "is not signed by the required signer"),
        ("ours.pem", 0, ""),
    ):
        own = None if key is None else keys / key
        api.export(signed, "slsa", output=tmp_path / "p.json", key=own)
        done = call(*words, cwd=tmp_path)
        assert done.code == code and message in done.err
    envelope = json.loads((tmp_path / "p.json").read_bytes())
    statement = json.loads(base64.b64decode(envelope["payload"]))
    statement["predicate"]["runDetails"]["builder"]["id"] = "https://example.org/trusted"
    envelope["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    (tmp_path / "p.json").write_text(json.dumps(envelope))
    assert call(*words, cwd=tmp_path).code == 4
    (tmp_path / "p.json").write_text(json.dumps({**envelope, "signatures": []}))
    assert call(*words, cwd=tmp_path).code == 4


@pytest.mark.slow
def test_the_policy_of_a_store_applies_to_a_provenance(digits, keys, tmp_path):
    store = shutil.copytree(digits.store, tmp_path / "artifacts")
    call("sign", digits.digest, "-k", keys / "ours.pem", "-s", store, cwd=tmp_path)
    call("trust", "--public-key", keys / "ours.pub", "-s", store, cwd=tmp_path)
    words = (digits.digest, "-s", store)
    assert call("export", *words, "--to", "slsa", cwd=tmp_path).code == 0
    done = call("verify", *words, "--provenance", "provenance.json", cwd=tmp_path)
    assert done.code == 4 and "a signature is required" in done.err
    assert call("export", *words, "--to", "slsa", "-k", keys / "ours.pem", cwd=tmp_path).code == 0
    done = call("verify", *words, "--provenance", "provenance.json", cwd=tmp_path)
    assert done.code == 0 and "signed by the required signer" in done.out


@pytest.mark.parametrize("content", [None, b"", b"nonsense", b"\xff\x00"])
def test_a_key_that_cannot_be_used_is_named(digits, tmp_path, content):
    if content is not None:
        (tmp_path / "k.pem").write_bytes(content)
    done = call("export", digits.folder, "--to", "slsa", "--key", "k.pem", cwd=tmp_path)
    assert done.code == 2 and "k.pem" in done.err and len(done.err.splitlines()) == 1
    assert not (tmp_path / "provenance.json").exists()


def test_the_key_is_not_overwritten_and_signs_no_folder(digits, keys, tmp_path):
    key = tmp_path / "own.pem"
    key.write_bytes((keys / "ours.pem").read_bytes())
    done = call("export", digits.folder, "--to", "slsa", "-k", key, "-o", key, cwd=tmp_path)
    assert done.code == 2 and key.read_bytes() == (keys / "ours.pem").read_bytes()
    done = call("export", digits.folder, "--to", "folder", "-k", key, cwd=tmp_path)
    assert done.code == 2 and "--key: is for slsa and cyclonedx, not for folder" in done.err
