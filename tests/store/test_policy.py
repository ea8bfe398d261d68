"""Policies: signatures that a store or a call requires before it opens an artifact."""

import shutil
from pathlib import Path

import pytest

import artifact_pipeline as api
from artifact_pipeline.errors import StoreError, UntrustedModel, VerificationError
from tests.support.command import call
from tests.support.configs import ROOT


@pytest.fixture
def store(digits, tmp_path, keys):
    """A copy of the store, with a policy that requires our signature."""
    shutil.copytree(digits.store, tmp_path / "artifacts")
    api.require_signature(api.public_key(keys / "ours.pub"), store=tmp_path / "artifacts")
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
    for digest in (None, api.check_integrity(pickle.parent).manifest.files[-1].sha256):
        with pytest.raises(VerificationError, match="a signature is required"):
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
def test_nothing_opens_under_an_unreadable_policy(store, policy):
    (store / "trust.json").write_bytes(policy)
    done = call("infer", "latest", cwd=store.parent)
    assert done.code == 5 and "is not a policy" in done.err and done.err.count("\n") == 1


@pytest.mark.slow
def test_a_restored_policy_makes_nothing_trusted(tmp_path, keys, monkeypatch):
    """Its key may have been stolen, and anyone who can write the store can restore the policy."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    fixture = ROOT / "tests" / "fixtures" / "version-1-skops"
    folder = shutil.copytree(fixture, Path("artifacts/one"))
    api.sign(folder, key=keys / "other.pem")
    api.require_signature(api.public_key(keys / "other.pub"))
    old = Path("artifacts/trust.json").read_bytes()
    assert api.open_artifact(folder) and api.load_model(folder / "model_train.pkl")
    api.require_signature(api.public_key(keys / "ours.pub"))
    Path("artifacts/trust.json").write_bytes(old)
    Path("elsewhere").mkdir()
    shutil.copytree("artifacts", "elsewhere/artifacts")
    for one in (folder, Path("elsewhere/artifacts/one")):
        assert api.open_trusted(one)
        with pytest.raises(UntrustedModel):
            api.open_artifact(one)
        with pytest.raises(UntrustedModel):
            api.load_model(one / "model_train.pkl")
        assert call("infer", one, cwd=tmp_path).code == 4


def test_require_signature_notices_a_removed_policy(store, digits):
    (store / "trust.json").unlink()
    done = call("infer", "latest", "--require-signature", cwd=store.parent)
    assert done.code == 2 and "no signer is named" in done.err


def test_a_required_signature_makes_a_pickle_trusted(signed, keys, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(signed.parent / "another"))
    with pytest.raises(UntrustedModel):
        api.load_model(signed / "model_train.pkl")
    signer = api.public_key(keys / "ours.pub")
    assert api.load_model(signed / "model_train.pkl", signed_by=signer).n_features_in_ == 64
    (signed / "loose.pkl").write_bytes((signed / "model_train.pkl").read_bytes())
    with pytest.raises(VerificationError, match="not listed"):
        api.load_model(signed / "loose.pkl", signed_by=signer)
    shutil.copy(signed / "loose.pkl", signed.parent)
    with pytest.raises(VerificationError, match="is not in an artifact"):
        api.load_model(signed.parent / "loose.pkl", signed_by=signer)


WAYS = {
    "its folder": lambda s, d: f"artifacts/{d}",
    "its folder, as a path": lambda s, d: s / d,
    "a path with dots": lambda s, d: f"artifacts/../artifacts/./{d}/",
    "a link to it": lambda s, d: link(s.parent / "link", s / d),
    "a link to a link to it": lambda s, d: link(s.parent / "two", link(s.parent / "link", s / d)),
    "a folder behind a linked store": lambda s, d: link(s.parent / "linked", s) / d,
    "a link in the store that leads out of it": lambda s, d: link(s / "out", outside(s, d)),
    "a link outside to such a link": lambda s, d: link(
        s.parent / "link", link(s / "out", outside(s, d))
    ),
    "what is set aside": lambda s, d: shutil.copytree(s / d, s / "set-aside" / "x"),
}


def link(path, target):
    path.symlink_to(target)
    return path


def outside(store, digits):
    return shutil.copytree(store / digits, store.parent / "outside" / digits)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_policy_applies_to_every_path_into_its_store(store, digits, keys, monkeypatch, way):
    monkeypatch.chdir(store.parent)
    monkeypatch.setenv("ARTIFACT_PIPELINE_STORE", "another")
    place = way(store, digits.folder.name)
    with pytest.raises(VerificationError, match="a signature is required"):
        api.open_artifact(place)
    with pytest.raises(VerificationError, match="a signature is required"):
        api.open_trusted(place, digits.digest)
    with pytest.raises(VerificationError, match="a signature is required"):
        api.load_model(f"{place}/model_train.pkl")
    api.sign(Path(place).resolve(), key=keys / "ours.pem", store="artifacts")
    assert api.open_trusted(place)
    # Whoever is named in the call must have signed as well.
    with pytest.raises(VerificationError):
        api.open_trusted(place, signed_by=api.public_key(keys / "other.pub"))


def test_policies_of_the_store_in_use_and_of_the_containing_store_both_apply(
    store, digits, keys, tmp_path
):
    other = tmp_path / "other"
    api.require_signature(api.public_key(keys / "other.pub"), store=other)
    folder = store / digits.folder.name
    for key in ("ours", "other"):  # a folder has one signature, and each store wants another
        api.sign(folder, key=keys / f"{key}.pem", store=store)
        with pytest.raises(VerificationError, match="signature"):
            api.open_trusted(folder, store=other)
    api.sign(folder, key=keys / "ours.pem", store=store)
    assert api.open_trusted(folder, store=store)


def test_a_policy_applies_to_a_link_to_a_pickle_in_its_store(store, digits, monkeypatch):
    monkeypatch.setenv("ARTIFACT_PIPELINE_STORE", str(store.parent / "another"))
    path = link(store.parent / "m.pkl", store / digits.folder.name / "model_train.pkl")
    with pytest.raises(VerificationError, match="a signature is required"):
        api.load_model(path)


def test_nothing_opens_under_a_policy_that_is_a_dangling_link(store, digits, monkeypatch):
    (store / "trust.json").unlink()
    link(store / "trust.json", store.parent / "gone")
    monkeypatch.setenv("ARTIFACT_PIPELINE_STORE", str(store.parent / "another"))
    for reference, place in (("latest", store), (store / digits.folder.name, None)):
        with pytest.raises(StoreError, match="is a link"):
            api.open_artifact(reference, store=place)
