"""Signatures are compatible with the library's own command, and wrong ones are refused."""

import datetime
import json
import os
import shutil
import subprocess
import sys

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

import artifact_pipeline as api
from artifact_pipeline.errors import MissingDependency, StoreError, VerificationError
from tests.support.command import call
from tests.support.configs import QUICK, write
from tests.support.keys import pair

PEM, NO = serialization.Encoding.PEM, serialization.NoEncryption()
OFFLINE = {"HTTPS_PROXY": "http://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1"}


def stock(*words):
    """Call the library's own command."""
    return subprocess.run([sys.executable, "-m", "model_signing", *map(str, words)],
                          capture_output=True, text=True)  # fmt: skip


@pytest.mark.slow
def test_a_signed_artifact_keeps_its_digest_and_verifies(copied, keys, digits, tmp_path):
    done = call("sign", copied, "--key", keys / "ours.pem", "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    assert done.json == {"digest": digits.digest, "signature": str(copied / "model.sig")}
    told = call("verify", copied, "--public-key", keys / "ours.pub", "--json", cwd=tmp_path)
    assert told.code == 0, told.err
    assert told.json["signed"] is True and told.json["digest"] == digits.digest
    plain = call("verify", copied, "--json", cwd=tmp_path)
    assert plain.json["signed"] is False


@pytest.mark.slow
def test_the_library_accepts_our_signatures(signed, keys):
    words = ("verify", "key", signed, "--signature", signed / "model.sig", "--public_key")
    assert stock(*words, keys / "ours.pub").returncode == 0
    assert stock(*words, keys / "other.pub").returncode != 0


@pytest.mark.slow
def test_the_bytes_of_the_manifest_are_signed_as_they_are(copied, keys):
    """Another writer may encode a float as an integer."""
    path = copied / "manifest.json"
    assert b'"max":16.0' in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(b'"max":16.0', b'"max":16'))
    api.sign(copied, key=keys / "ours.pem")
    assert api.open_trusted(copied, signed_by=api.public_key(keys / "ours.pub"))
    words = ("verify", "key", copied, "--signature", copied / "model.sig", "--public_key")
    assert stock(*words, keys / "ours.pub").returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("place", ["inside", "beside"])
def test_we_accept_signatures_of_the_library(copied, keys, place, tmp_path):
    path = copied / "model.sig" if place == "inside" else tmp_path / "x.sig"
    words = ("sign", "key", copied, "--signature", path, "--private_key", keys / "ours.pem")
    assert stock(*words).returncode == 0
    if place == "beside":
        shutil.move(path, copied / "model.sig")
    assert api.open_trusted(copied, signed_by=api.public_key(keys / "ours.pub"))


@pytest.mark.slow
@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP521R1()], ids=lambda c: c.name)
def test_every_curve_of_the_format_is_supported(copied, curve, tmp_path):
    pair(tmp_path, "k", ec.generate_private_key(curve))
    api.sign(copied, key=tmp_path / "k.pem")
    assert api.open_trusted(copied, signed_by=api.public_key(tmp_path / "k.pub"))


def another_artifact(folder, keys):
    made = api.train(write(folder, QUICK), store=folder / "other")
    api.sign(made.artifact, key=keys / "ours.pem", store=folder / "other")
    return folder / "other" / made.digest.removeprefix("sha256:") / "model.sig"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: b"{}",
        lambda data: b"[]",
        lambda data: b"null",
        lambda data: b"\xff" * 100,
        lambda data: b"[" * 500_000,
        lambda data: b"1" * 900_000,
        lambda data: b" " * (2 << 20),
        lambda data: data.replace(b'"sig":"', b'"sig":"AAAA'),
        lambda data: data.replace(b'"payload":"', b'"payload":"AAAA'),
        lambda data: data.replace(b'"hint":"', b'"hint":"0'),
        lambda data: json.dumps({**json.loads(data), "verificationMaterial": {}}).encode(),
        lambda data: json.dumps({**json.loads(data), "dsseEnvelope": {}}).encode(),
    ],
)
def test_a_damaged_signature_is_refused(signed, keys, spoil):
    path = signed / "model.sig"
    data = path.read_bytes()
    assert spoil(data) != data
    path.write_bytes(spoil(data))
    with pytest.raises(VerificationError) as refused:
        api.open_trusted(signed, signed_by=api.public_key(keys / "ours.pub"))
    assert str(refused.value.location) == str(path) and "\n" not in str(refused.value)


@pytest.mark.slow
def test_a_wrong_key_and_the_signature_of_another_artifact_exit_4(signed, keys, tmp_path):
    done = call("infer", signed, "--public-key", keys / "other.pub", cwd=tmp_path)
    assert done.code == 4 and "does not vouch for this artifact" in done.err
    shutil.copy(another_artifact(tmp_path, keys), signed)
    done = call("infer", signed, "--public-key", keys / "ours.pub", cwd=tmp_path)
    assert done.code == 4 and "does not vouch for this artifact" in done.err


@pytest.mark.slow
def test_a_removed_signature_exits_4_if_one_is_required(signed, keys, tmp_path):
    (signed / "model.sig").unlink()
    for command in ("verify", "infer"):
        done = call(command, signed, "--public-key", keys / "ours.pub", cwd=tmp_path)
        assert done.code == 4 and "a signature is required" in done.err
    assert call("infer", signed, cwd=tmp_path).code == 0


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_a_signature_that_is_a_link_is_refused(signed, keys, tmp_path):
    shutil.move(signed / "model.sig", tmp_path / "real.sig")
    (signed / "model.sig").symlink_to(tmp_path / "real.sig")
    with pytest.raises(VerificationError, match="is a link"):
        api.open_trusted(signed, signed_by=api.public_key(keys / "ours.pub"))


@pytest.mark.slow
def test_a_signature_that_leaves_the_manifest_out_is_refused(copied, keys):
    words = ("sign", "key", copied, "--signature", copied / "model.sig", "--ignore-paths",
             copied / "manifest.json", "--private_key", keys / "ours.pem")  # fmt: skip
    assert stock(*words).returncode == 0
    with pytest.raises(VerificationError, match=r"does not cover manifest\.json"):
        api.open_trusted(copied, signed_by=api.public_key(keys / "ours.pub"))


def test_a_changed_file_is_refused_under_an_intact_signature(signed, keys):
    (signed / "README.md").write_text("x")
    with pytest.raises(VerificationError, match="was changed"):
        api.open_trusted(signed, signed_by=api.public_key(keys / "ours.pub"))


def test_a_broken_artifact_is_not_signed(copied, keys, tmp_path):
    (copied / "model.onnx").write_bytes(b"")
    assert call("sign", copied, "--key", keys / "ours.pem", cwd=tmp_path).code == 4
    assert not (copied / "model.sig").exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["rsa", "locked", "none", "text", "public", "koblitz"])
def test_a_key_that_cannot_sign_exits_2(copied, tmp_path, kind):
    lock = serialization.BestAvailableEncryption(b"x") if kind == "locked" else NO
    made = {"rsa": rsa.generate_private_key(65537, 2048),
            "koblitz": ec.generate_private_key(ec.SECP256K1())}.get(kind)  # fmt: skip
    pair(tmp_path, "k", made, lock)
    path = tmp_path / ("k.pub" if kind == "public" else "k.pem")
    if kind == "none":
        path.unlink()
    if kind == "text":
        path.write_text("hello")
    done = call("sign", copied, "--key", path, cwd=tmp_path)
    assert done.code == 2 and done.err.startswith(f"error: {path}: "), done.err
    assert not (copied / "model.sig").exists()
    if kind != "locked":
        shutil.copy(path, tmp_path / "bad.pub") if kind != "none" else None
        done = call("verify", copied, "--public-key", tmp_path / "bad.pub", cwd=tmp_path)
        assert done.code in (2, 4) and "Traceback" not in done.err


@pytest.mark.parametrize("kind", ["private", "rsa", "koblitz", "certificate", "text"])
def test_a_signer_that_is_no_usable_public_key_is_located_at_its_file(kind, keys, tmp_path):
    key = {"rsa": rsa.generate_private_key(65537, 1024),
           "koblitz": ec.generate_private_key(ec.SECP256K1())}.get(kind)  # fmt: skip
    path = tmp_path / "k.pub"
    if kind == "certificate":
        own = ec.generate_private_key(ec.SECP256R1())
        path.write_bytes(certificate("root", own).public_bytes(serialization.Encoding.PEM))
    elif kind == "text":
        path.write_text("hello")
    else:
        pair(tmp_path, "k", key)
        if kind == "private":
            path = tmp_path / "k.pem"
    with pytest.raises(api.CallError) as caught:
        api.public_key(path)
    assert str(caught.value).startswith(f"{path}: is ")
    with pytest.raises(api.CallError) as caught:
        api.certificates([keys / "ours.pub"])
    assert str(caught.value) == f"{keys / 'ours.pub'}: is not a certificate"


def test_a_policy_never_contains_a_private_key(keys, tmp_path):
    done = call("trust", "--public-key", keys / "ours.pem", cwd=tmp_path)
    assert done.code == 2 and "is a private key, expected the public one" in done.err
    assert not (tmp_path / "artifacts").exists()


@pytest.mark.slow
def test_an_incomplete_or_ambiguous_signer_exits_2(signed, keys, tmp_path):
    pub = ("--public-key", keys / "ours.pub")
    for words in (
        ("verify", signed, *pub, "--identity", "a", "--oidc-issuer", "b"),
        ("verify", signed, "--identity", "a"),
        ("infer", signed, "--require-signature"),
        ("sign", signed),
        ("sign", signed, "--key", keys / "ours.pem", "--keyless"),
        ("sign", signed, "--keyless", "--certificate", keys / "ours.pub"),
        ("trust",),
    ):
        done = call(*words, cwd=tmp_path)
        assert done.code == 2 and done.err.count("\n") == 1, (words, done)


def certificate(name, key, issuer=None, issuer_key=None, signs=True):
    """Return a certificate of `key`, its own root or by an issuer."""
    ca = issuer is None
    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    usage = x509.KeyUsage(signs, False, False, False, False, ca, False, False, False)
    public = (issuer_key or key).public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), False)
        .sign(issuer_key or key, hashes.SHA256())
    )


@pytest.mark.slow
def test_a_certificate_signs_and_its_root_verifies(copied, tmp_path):
    top = pair(tmp_path, "top")
    root = certificate("root", top)
    leaf = certificate("leaf", pair(tmp_path, "leaf"), root, top)
    stranger = certificate("stranger", pair(tmp_path, "stranger"))
    for name, one in (("root", root), ("leaf", leaf), ("stranger", stranger)):
        (tmp_path / f"{name}.crt").write_bytes(one.public_bytes(PEM))
    done = call("sign", copied, "--key", tmp_path / "leaf.pem", "--certificate",
                tmp_path / "leaf.crt", "--certificate-chain", tmp_path / "root.crt",
                cwd=tmp_path)  # fmt: skip
    assert done.code == 0, done.err
    words = ("verify", copied, "--certificate-chain")
    assert call(*words, tmp_path / "root.crt", cwd=tmp_path).code == 0
    assert call(*words, tmp_path / "stranger.crt", cwd=tmp_path).code == 4
    stock_words = ("verify", "certificate", copied, "--signature", copied / "model.sig")
    assert stock(*stock_words, "--certificate_chain", tmp_path / "root.crt").returncode == 0
    other = call("sign", copied, "--key", tmp_path / "top.pem", "--certificate",
                 tmp_path / "leaf.crt", cwd=tmp_path)  # fmt: skip
    assert other.code == 2


@pytest.mark.slow
def test_unreachable_sigstore_exits_5(signed, tmp_path):
    env = {**OFFLINE, "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}
    words = ("verify", signed, "--identity", "a@b", "--oidc-issuer", "https://example.org")
    for done in (
        call("sign", signed, "--keyless", cwd=tmp_path, env=env),
        call(*words, cwd=tmp_path, env=env),
    ):
        assert done.code == 5 and done.err.startswith("error: Sigstore: "), done.err
        assert done.err.count("\n") == 1


def test_the_error_for_a_missing_library_names_the_extra(copied, keys, monkeypatch):
    monkeypatch.setitem(sys.modules, "model_signing", None)
    monkeypatch.setitem(sys.modules, "model_signing.signing", None)
    with pytest.raises(MissingDependency, match=r"pip install model-signing"):
        api.sign(copied, key=keys / "ours.pem")


def test_a_signature_that_cannot_be_written_exits_5(signed, keys, monkeypatch):
    before = (signed / "model.sig").read_bytes()
    (signed / "model.sig").unlink()
    (signed / "model.sig").mkdir()
    with pytest.raises(StoreError):
        api.sign(signed, key=keys / "ours.pem")
    assert before and list((signed / "model.sig").iterdir()) == []
    assert sorted(path.name for path in signed.parent.iterdir()) == ["artifact"]
