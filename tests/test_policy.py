"""Whom a store, or a call, wants to have signed what it opens."""

import shutil

import pytest
from conftest import ROOT, call

import artifact_pipeline as api
from artifact_pipeline.errors import UntrustedModel, VerificationError


@pytest.fixture
def store(digits, tmp_path, keys):
    """A copy of the store, whose policy asks for our signature."""
    shutil.copytree(digits.store, tmp_path / "artifacts")
    done = call("trust", "--public-key", keys / "ours.pub", cwd=tmp_path)
    assert done.code == 0, done.err
    return tmp_path / "artifacts"


@pytest.mark.slow
def test_a_store_with_a_policy_opens_only_what_its_signer_signed(store, keys, digits, monkeypatch):
    monkeypatch.chdir(store.parent)
    pickle = store / digits.digest.removeprefix("sha256:") / "model_train.pkl"

    def each():
        return [call(*words, cwd=store.parent).code for words in (
            ("infer", "latest"), ("verify", "latest"), ("evaluate", "latest"),
            ("infer", digits.folder), ("infer", "latest", "--digest", digits.digest),
        )]  # fmt: skip

    assert each() == [4] * 5
    for digest in (None, api.verified(pickle.parent).manifest.files[-1].sha256):
        with pytest.raises(VerificationError, match="a signature is asked for"):
            api.load_model(pickle, digest)
    api.sign("latest", key=keys / "other.pem")
    assert each() == [4] * 5
    api.sign("latest", key=keys / "ours.pem")
    assert each() == [0, 0, 0, 4, 0]
    assert call("infer", "latest", "--require-signature", cwd=store.parent).code == 0
    assert api.load_model(pickle).predict([[0.0] * 64]).shape == (1,)
    assert call("run", ROOT / "config" / "config.json", cwd=store.parent).code == 0


@pytest.mark.slow
@pytest.mark.parametrize("policy", [b"", b"{}", b'{"by":"nobody"}', b'{"by":"key"}', b"[1]"])
def test_a_policy_that_cannot_be_read_is_not_taken_for_none(store, policy):
    (store / "trust.json").write_bytes(policy)
    done = call("infer", "latest", cwd=store.parent)
    assert done.code == 5 and "is no policy" in done.err and done.err.count("\n") == 1


def test_a_policy_that_was_removed_is_noticed_where_the_call_insists(store, digits):
    (store / "trust.json").unlink()
    done = call("infer", "latest", "--require-signature", cwd=store.parent)
    assert done.code == 2 and "by whom?" in done.err


def test_a_signature_opens_a_pickle_that_this_checkout_did_not_write(signed, keys, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(signed.parent / "another"))
    with pytest.raises(UntrustedModel):
        api.load_model(signed / "model_train.pkl")
    signer = api.public_key(keys / "ours.pub")
    assert api.load_model(signed / "model_train.pkl", signed_by=signer).n_features_in_ == 64
    (signed / "loose.pkl").write_bytes((signed / "model_train.pkl").read_bytes())
    with pytest.raises(VerificationError, match="not listed"):
        api.load_model(signed / "loose.pkl", signed_by=signer)
    shutil.copy(signed / "loose.pkl", signed.parent)
    with pytest.raises(VerificationError, match="lies in no artifact"):
        api.load_model(signed.parent / "loose.pkl", signed_by=signer)
