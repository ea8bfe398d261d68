"""Artifacts of every released format version stay readable.

`tests/fixtures` holds one of each version and form, never to be changed: a new version adds its
own. All are signed by the key whose public half lies beside them.
"""

import pytest

import artifact_pipeline as api
from tests.support.command import call
from tests.support.configs import ROOT

FIXTURES = ROOT / "tests" / "fixtures"
KEPT = {
    "version-1-onnx": "sha256:a22b52c2252318854a6bbd8ce810481c1a6379998afe484b34087bcfc6cec687",
    "version-1-skops": "sha256:13d18c98716c7bd9dcb840e860105d93469af1fb77cbddaffd927e1ea8c8d555",
}
ROWS = [[5.0, 3.0, 1.0, 0.2], [7.0, 3.0, 6.0, 2.1]]


def test_every_fixture_is_listed():
    assert {path.name for path in FIXTURES.iterdir() if path.is_dir()} == set(KEPT)


@pytest.mark.parametrize(("name", "digest"), KEPT.items())
def test_an_old_artifact_verifies_by_digest_and_signature_and_predicts(name, digest):
    signer = api.public_key(FIXTURES / "signer.pub")
    assert (
        api.open_trusted(FIXTURES / name, digest, signed_by=signer).manifest.manifest_version == 1
    )
    predictor = api.open_artifact(FIXTURES / name, digest, signed_by=signer)
    assert predictor.predict(ROWS).tolist() == [0, 2]
    assert predictor.interface.features[0] == "sepal length (cm)"


@pytest.mark.slow
@pytest.mark.parametrize("name", KEPT)
def test_an_old_artifact_can_be_shown(name, tmp_path):
    for words in (("show",), ("report", "--output", "r.html"), ("infer",), ("evaluate",)):
        pin = ("--digest", KEPT[name]) if words[0] in ("infer", "evaluate") else ()
        done = call(words[0], FIXTURES / name, *words[1:], *pin, cwd=tmp_path)
        assert done.code == 0, (words, done.err)
