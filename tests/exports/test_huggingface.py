"""The folder for Hugging Face's Hub, read by huggingface_hub without the network."""

import hashlib
import json
import subprocess
import sys

import pytest
from huggingface_hub import ModelCard
from huggingface_hub.repocard import metadata_load

import artifact_pipeline as api
from tests.support.artifacts import variant
from tests.support.command import call
from tests.support.configs import FIXTURES


def export(artifact, tmp_path, **options):
    folder = tmp_path / "hub"
    api.export(artifact, "huggingface", output=folder, **options)
    return folder, ModelCard.load(folder / "README.md")


def test_the_card_has_the_metadata_that_the_hub_reads(digits, tmp_path):
    folder, card = export(digits.folder, tmp_path, license_id="apache-2.0")
    manifest = json.loads((digits.folder / "manifest.json").read_bytes())
    assert metadata_load(folder / "README.md") == card.data.to_dict() | {
        "model-index": metadata_load(folder / "README.md")["model-index"]
    }
    assert (card.data.license, card.data.library_name) == ("apache-2.0", "onnx")
    assert card.data.datasets == ["digits"] and card.data.metrics == ["accuracy", "f1"]
    assert card.data.pipeline_tag == "tabular-classification"
    results = {result.metric_type: result for result in card.data.eval_results}
    assert results["accuracy"].metric_value == manifest["metrics"]["test"]["accuracy"]
    assert {r.dataset_name for r in results.values()} == {"digits"}
    assert card.data.model_name == "digits"


def test_the_folder_predicts_and_names_the_artifact(digits, tmp_path):
    folder, card = export(digits.folder, tmp_path)
    assert card.data.license == "unknown" and digits.digest in card.text
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "README.md", "interface.json", "manifest.json", "model.onnx", "model_interface.py",
        "predict.py",
    }  # fmt: skip
    sealed = (folder / "manifest.json").read_bytes()
    assert "sha256:" + hashlib.sha256(sealed).hexdigest() == digits.digest
    (tmp_path / "rows.json").write_text(json.dumps([[0] * 64]))
    words = [sys.executable, "-I", folder / "predict.py", tmp_path / "rows.json"]
    assert b'"labels"' in subprocess.run(words, capture_output=True, check=True).stdout


def test_a_skops_artifact_is_a_model_of_sklearn(tmp_path):
    folder, card = export(FIXTURES / "version-1-skops", tmp_path)
    assert (card.data.library_name, card.data.tags[1]) == ("sklearn", "skops")
    assert (folder / "model.skops").is_file() and not list(folder.glob("*.pkl"))
    import skops.io

    # As the card says, after a review: here only scikit-learn's own types.
    untrusted = skops.io.get_untrusted_types(file=folder / "model.skops")
    model = skops.io.load(folder / "model.skops", trusted=untrusted)
    assert model.predict([[5.1, 3.5, 1.4, 0.2]]).tolist() == [0]


def test_a_regressor_has_its_task_and_metrics(ridge, tmp_path):
    _, card = export(ridge, tmp_path)
    assert card.data.pipeline_tag == "tabular-regression"
    assert {result.metric_type for result in card.data.eval_results} == {"r_squared", "mae"}


def test_a_table_is_not_listed_as_a_data_set_of_the_hub(churn, tmp_path):
    folder, card = export(churn.artifact, tmp_path)
    assert card.data.datasets is None and "datasets" not in metadata_load(folder / "README.md")
    assert {result.dataset_type for result in card.data.eval_results} == {card.data.model_name}


def test_private_rows_stay_out(churn, tmp_path):
    folder, _ = export(churn.artifact, tmp_path)
    text = b"".join(path.read_bytes() for path in folder.iterdir() if path.suffix != ".onnx")
    for value in ("C00001", "Ünique", str(churn.folder)):
        assert value.encode() not in text


@pytest.mark.parametrize(
    "text", ["---\nlicense: mit\n---", "\u2028\x85\x00\ud7ff", "😀 ## Usage", "<script>x</script>"]
)
def test_hostile_text_changes_no_metadata(digits, tmp_path, text):
    artifact = tmp_path / "hostile"
    artifact.mkdir()
    for name, data in variant(digits.folder, text, description=text).items():
        (artifact / name).write_bytes(data)
    _, card = export(artifact, tmp_path)
    assert card.data.license == "unknown" and card.data.model_name == "digits"
    assert "<script>" not in card.text and card.text.count("\n## Usage\n") == 1


@pytest.mark.slow
def test_a_folder_with_files_is_left_alone(digits, tmp_path):
    (tmp_path / "hub").mkdir()
    words = ("export", digits.folder, "--to", "huggingface", "-o", "hub")
    done = call(*words, "--license", "mit", cwd=tmp_path)
    assert done.code == 0 and "hf upload" in done.out
    (tmp_path / "hub" / "own.txt").write_text("mine")
    done = call(*words, cwd=tmp_path)
    assert done.code == 2 and "is a folder with files in it" in done.err
    assert (tmp_path / "hub" / "own.txt").read_text() == "mine"
    (tmp_path / "file").write_text("mine")
    done = call(*words[:-1], "file", cwd=tmp_path)
    assert done.code == 2 and "is a file, expected a folder" in done.err
    done = call(*words[:-1], "no/hub", cwd=tmp_path)
    assert done.code == 5 and "no: no such folder" in done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "hub"]


@pytest.mark.parametrize("license_id", ["", "MIT License", "mit\nx: y", "-"])
def test_a_malformed_licence_is_refused(digits, tmp_path, license_id):
    words = ("export", digits.folder, "--to", "huggingface", "--license", license_id)
    assert call(*words, cwd=tmp_path).code == 2
    assert not list(tmp_path.iterdir())


def test_only_the_hub_takes_a_licence(digits, tmp_path):
    words = ("export", digits.folder, "--to", "folder", "--license", "mit")
    done = call(*words, cwd=tmp_path)
    assert done.code == 2 and "--license" in done.err
