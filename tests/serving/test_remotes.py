"""Serving the artifact that an alias of a remote names, and following it."""

import shutil

import pytest

import artifact_pipeline as api
from artifact_pipeline.builder.formats.origin import Origin
from artifact_pipeline.errors import ArtifactNotFound, VerificationError
from artifact_pipeline.remote import pull
from artifact_pipeline.serving.options import ModelSpec
from artifact_pipeline.serving.registry import ModelRegistry
from artifact_pipeline.store.store import Store
from tests.support.artifacts import variant
from tests.support.server import serving
from tests.support.waiting import until


@pytest.fixture
def here(digits, tmp_path):
    """A store with the digits artifact as version 1, and another as version 2."""
    store = shutil.copytree(digits.store, tmp_path / "here")
    Store(store).add(variant(digits.folder, "another"))
    return store


def promote(version, shared, store):
    return api.promote_remote(f"digits:{version}", shared.as_uri(), store=store).digest


def registry(shared, tmp_path, **options):
    spec = ModelSpec(
        name="churn", artifact=f"{shared.as_uri()}@champion", store=tmp_path / "there", **options
    )
    return ModelRegistry((spec,), str(tmp_path))


def test_the_alias_of_a_remote_is_followed(here, tmp_path):
    shared = tmp_path / "shared"
    first = promote(1, shared, here)
    models = registry(shared, tmp_path)
    assert models.models["churn"].digest == first
    second = promote(2, shared, here)
    models.follow_aliases()
    assert models.models["churn"].digest == first
    models.follow_remotes()
    assert models.models["churn"].digest == second and not models.rejected
    assert api.examine(tmp_path / "there").healthy


def test_a_remote_that_is_away_keeps_what_is_served(here, tmp_path):
    shared = tmp_path / "shared"
    first = promote(1, shared, here)
    models = registry(shared, tmp_path)
    hidden = shared / "names" / "champion"
    content = hidden.read_bytes()
    hidden.unlink()
    hidden.mkdir()  # what cannot be read, as a share that is not mounted
    models.follow_remotes()
    assert models.unreachable == {"churn"} and models.models["churn"].digest == first
    hidden.rmdir()
    hidden.write_bytes(content)
    models.follow_remotes()
    assert not models.unreachable and not models.rejected


def test_an_error_that_nobody_expected_does_not_end_the_following(here, tmp_path, monkeypatch):
    shared = tmp_path / "shared"
    first = promote(1, shared, here)
    models = registry(shared, tmp_path)
    second = promote(2, shared, here)
    with monkeypatch.context() as patch:
        patch.setattr(pull, "resolve", lambda *_: [].pop())
        models.follow_remotes()
    assert models.models["churn"].digest == first
    assert "IndexError" in models.rejected["churn"].reason
    models.rejected.clear()
    models.follow_remotes()
    assert models.models["churn"].digest == second


def test_an_update_that_is_damaged_or_not_signed_is_rejected(here, tmp_path, keys):
    shared = tmp_path / "shared"
    signed_by = api.public_key(keys / "ours.pub")
    api.sign("digits:1", key=keys / "ours.pem", store=here)
    first = promote(1, shared, here)
    models = registry(shared, tmp_path, signed_by=signed_by)
    second = promote(2, shared, here)
    models.follow_remotes()
    assert models.models["churn"].digest == first
    assert models.rejected["churn"].digest == second and not models.unreachable
    assert not (tmp_path / "there" / second[7:]).exists()


def test_the_remote_vouches_for_no_pickle_or_archive(here, tmp_path):
    """Its alias proves nothing; only a digest that the caller names does."""
    shared = tmp_path / "shared"
    digest = promote(1, shared, here)
    models = registry(shared, tmp_path)
    assert models.models["churn"].verified.origin is not Origin.PINNED
    spec = ModelSpec(name="churn", artifact=f"{shared.as_uri()}@{digest}", store=tmp_path / "there")
    pinned = ModelRegistry((spec,), str(tmp_path))
    assert pinned.models["churn"].verified.origin is Origin.PINNED


def test_a_remote_without_the_alias_or_with_other_bytes_is_not_served(here, tmp_path):
    shared = tmp_path / "shared"
    api.push("digits:1", shared.as_uri(), store=here)
    with pytest.raises(ArtifactNotFound, match="champion"):
        registry(shared, tmp_path)
    promote(1, shared, here)
    for path in (shared / "blobs" / "sha256").iterdir():
        path.write_bytes(path.read_bytes()[::-1])
    with pytest.raises(VerificationError):
        registry(shared, tmp_path)


def served(server):
    return server.get("/v2/health/ready").json["models"]


@pytest.mark.slow
def test_a_promotion_on_the_remote_deploys_without_a_restart(here, tmp_path):
    shared = tmp_path / "shared"
    first = promote(1, shared, here)
    words = [f"churn={shared.as_uri()}@champion", "--store", tmp_path / "there", "--workers", 2]
    with serving(*words, cwd=tmp_path) as server:
        assert served(server) == {"churn": first}
        second = promote(2, shared, here)
        # One worker or the other answers.
        until(lambda: all(served(server) == {"churn": second} for _ in range(8)))
        away = 'remote_unreachable{model="churn"}'
        assert server.counted(away) == 0
        shared.rename(tmp_path / "away")
        shared.write_text("not a folder")
        until(lambda: server.counted(away) == 2)
        assert served(server) == {"churn": second}
        shared.unlink()
        (tmp_path / "away").rename(shared)
        until(lambda: server.counted(away) == 0)
