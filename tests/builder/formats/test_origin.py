"""Origin: skops archives need trusted bytes; ONNX is opened from any origin."""

import json
import shutil
from pathlib import Path

import pytest
from sklearn.dummy import DummyClassifier

import artifact_pipeline as api
from artifact_pipeline.builder import canonical
from artifact_pipeline.errors import UntrustedModel, VerificationError
from artifact_pipeline.inference.predictor import load_predictor
from artifact_pipeline.serving import registry
from artifact_pipeline.serving.options import ModelSpec
from artifact_pipeline.store import local_state
from artifact_pipeline.verification.verify import verify
from tests.support.artifacts import reseal
from tests.support.command import call
from tests.support.configs import ROOT, write

FIXTURE = ROOT / "tests" / "fixtures" / "version-1-skops"
DIGEST = "sha256:13d18c98716c7bd9dcb840e860105d93469af1fb77cbddaffd927e1ea8c8d555"
SIGNER = ROOT / "tests" / "fixtures" / "signer.pub"
ROWS = [[5.0, 3.0, 1.0, 0.2], [7.0, 3.0, 6.0, 2.1]]
WAYS = (r"--digest", r"--public-key", r"run CONFIG --force")


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store from elsewhere that holds a skops artifact under its digest and an alias."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(FIXTURE, tmp_path / "artifacts" / DIGEST[7:])
    for name in ("latest", "champion"):
        (tmp_path / "artifacts" / "aliases").mkdir(exist_ok=True)
        (tmp_path / "artifacts" / "aliases" / name).write_text(f"{DIGEST}\n")
    return tmp_path / "artifacts"


def opens(artifact, digest=None, **more):
    return api.open_artifact(artifact, digest, **more).predict(ROWS).tolist() == [0, 2]


def test_an_untrusted_artifact_is_not_opened_by_any_name(store):
    """An alias, a few digits and a folder's name are words of whoever made the store."""
    folder = store / DIGEST[7:]
    shutil.copytree(folder, DIGEST[7:])
    shutil.copytree(folder, "elsewhere")
    for name in ("latest", DIGEST[7:19], DIGEST[:20], str(folder), folder, f"./{DIGEST[7:]}",
                 Path(DIGEST[7:]), "elsewhere"):  # fmt: skip
        assert api.open_trusted(name)
        with pytest.raises(UntrustedModel) as refused:
            api.open_artifact(name)
        assert refused.value.exit_code == 4 and refused.value.kind == "untrusted-model"
        assert all(way in str(refused.value) for way in WAYS)
    with pytest.raises(UntrustedModel):  # a folder of that name, and no such artifact in the store
        api.open_artifact(DIGEST[7:], store="empty")


def test_a_pinned_digest_opens_an_artifact(store):
    assert opens("latest", DIGEST) and opens(FIXTURE, DIGEST)
    assert opens(DIGEST) and opens(DIGEST[7:])  # a whole digest says as much as the option
    with pytest.raises(VerificationError, match="is another artifact"):
        api.open_artifact("latest", f"sha256:{'0' * 64}")


def test_a_required_signature_opens_an_artifact(store, keys):
    assert opens("latest", signed_by=api.public_key(SIGNER))
    with pytest.raises(VerificationError, match="does not vouch"):
        api.open_artifact("latest", signed_by=api.public_key(keys / "ours.pub"))
    api.require_signature(api.public_key(SIGNER))
    assert opens("latest")


@pytest.mark.slow
def test_a_policy_that_came_with_the_store_is_not_trusted(store, tmp_path, monkeypatch):
    """Whoever wrote the artifact wrote it, too."""
    api.require_signature(api.public_key(SIGNER))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another"))
    with pytest.raises(UntrustedModel):
        api.open_artifact("latest")
    with pytest.raises(UntrustedModel):
        api.load_model(store / DIGEST[7:] / "model_train.pkl")
    done = call("infer", "latest", cwd=tmp_path)
    assert done.code == 4 and "skops archives of unknown origin" in done.err
    assert opens("latest", signed_by=api.public_key(SIGNER))


def test_an_artifact_written_here_opens_at_any_path(store, tmp_path, monkeypatch):
    made = verify(FIXTURE, DIGEST).files["model.skops"]
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "mine"))
    local_state.record_written("model.skops", api.open_trusted(FIXTURE).manifest.files[2].sha256)
    assert api.open_trusted(FIXTURE).manifest.files[2].path == "model.skops" and made
    assert opens("latest") and opens(FIXTURE)
    shutil.move(store, tmp_path / "moved")
    assert opens("latest", store="moved")


def test_bytes_written_here_for_another_form_are_not_trusted(store):
    """An archive is found at the end of a file, whatever stands before it: a label, say."""
    hidden = (FIXTURE / "model.skops").read_bytes()
    api.save_model(DummyClassifier(constant=hidden), store / "model.pkl")
    folder = shutil.copytree(FIXTURE, store.parent / "crafted")
    digest = reseal(folder, "model.skops", (store / "model.pkl").read_bytes())
    assert api.open_trusted(folder).manifest.digest_of("model.skops") == canonical.digest(
        (store / "model.pkl").read_bytes()
    )
    with pytest.raises(UntrustedModel):
        api.open_artifact(folder)
    with pytest.raises(VerificationError, match="does not load it"):
        api.open_artifact(folder, digest)


def test_verification_is_no_evidence_of_origin():
    """Whoever forgets to ask where an artifact is from cannot open it."""
    with pytest.raises(UntrustedModel):
        load_predictor(verify(FIXTURE))
    with pytest.raises(UntrustedModel):
        load_predictor(verify(FIXTURE, DIGEST))


def test_a_server_opens_no_untrusted_artifact(store, tmp_path, digits):
    for name in ("latest", str(FIXTURE)):
        with pytest.raises(UntrustedModel):
            registry.load(ModelSpec(name="model", artifact=name))
    assert registry.load(ModelSpec(name="model", artifact="latest", digest=DIGEST)).digest == DIGEST
    assert registry.load(ModelSpec(name="model", artifact=DIGEST)).digest == DIGEST
    shutil.copytree(digits.folder, store / digits.digest[7:])
    (store / "aliases" / "champion").write_text(digits.digest)
    (tmp_path / "shared").mkdir()
    spec = ModelSpec(name="model", artifact="champion")
    models = registry.ModelRegistry((spec,), str(tmp_path / "shared"))
    (store / "aliases" / "champion").write_text(DIGEST)  # moved by whoever writes the store
    models.follow_aliases()
    assert models.models["model"].digest == digits.digest
    assert "unknown origin" in models.rejected["model"].reason


@pytest.mark.slow
def test_no_command_opens_an_untrusted_artifact(store, tmp_path):
    words = [["infer", "latest"], ["evaluate", "latest"], ["serve", "latest", "--port", "0"]]
    for line in words:
        done = call(*line, cwd=tmp_path)
        assert done.code == 4 and done.err.count("\n") == 1, done
        assert all(way in done.err for way in WAYS)
    for line in (["verify"], ["show"], ["report"], ["compare", "champion"]):
        assert call(line[0], "latest", *line[1:], cwd=tmp_path).code == 0
    for line in words[:2]:
        assert call(*line, "--digest", DIGEST, cwd=tmp_path).code == 0
        assert call(*line, "--public-key", SIGNER, cwd=tmp_path).code == 0
    done = call("reproduce", "latest", cwd=tmp_path)  # made by other code: it has to be compared
    assert done.code == 4 and all(way in done.err for way in WAYS), done
    done = call("reproduce", "latest", "--digest", DIGEST, "--json", cwd=tmp_path)
    assert done.code == 0 and done.json["result"] in ("same-predictions", "identical"), done


@pytest.mark.slow
def test_a_run_opens_what_it_trained_but_not_what_it_found(tmp_path):
    config = {
        "data": {"dataset": "iris"},
        "model": {"estimator": "sklearn.neighbors.NearestCentroid"},
    }
    path, other = write(tmp_path, config), {"XDG_STATE_HOME": str(tmp_path / "other")}
    assert call("run", path, cwd=tmp_path).code == 0
    assert call("infer", "latest", cwd=tmp_path).code == 0
    shutil.copytree(tmp_path / "artifacts", tmp_path / "b" / "artifacts")
    found = call("run", path, "--json", cwd=tmp_path / "b", env=other)
    assert found.code == 0 and found.json["cached"]
    assert call("infer", "latest", cwd=tmp_path / "b", env=other).code == 4
    assert call("run", path, "--force", cwd=tmp_path / "b", env=other).code == 0
    assert call("infer", "latest", cwd=tmp_path / "b", env=other).code == 0


def test_onnx_is_opened_from_any_origin(digits, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "mine"))
    assert api.open_artifact(digits.folder).predict([[0.0] * 64]).shape == (1,)


def test_a_foreign_manifest_with_our_bytes_creates_only_classes_that_it_names(tmp_path):
    copy = Path(shutil.copytree(FIXTURE, tmp_path / "artifact"))
    manifest = json.loads((copy / "manifest.json").read_bytes())
    manifest["recipe"]["model"] = {"estimator": "sklearn.linear_model.Perceptron", "params": {}}
    manifest["recipe_digest"] = canonical.digest(canonical.encode(manifest["recipe"]))
    (copy / "manifest.json").write_bytes(canonical.encode(manifest))
    digest = canonical.digest(canonical.encode(manifest))
    with pytest.raises(
        VerificationError, match=r"no estimator of its recipe contains .*NearestCent"
    ):
        api.open_artifact(copy, digest)
