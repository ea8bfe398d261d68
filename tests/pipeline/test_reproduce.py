"""`reproduce`: training again from the recipe, and the report of differences."""

import json
import os
import subprocess
import venv

import pytest

from artifact_pipeline.builder import canonical
from tests.support.artifacts import reseal
from tests.support.command import call
from tests.support.configs import QUICK, ROOT, SHORT, write


def forge(folder, change):
    """Change the recipe of an artifact, and seal it again."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_bytes())
    change(manifest["recipe"])
    manifest["recipe_digest"] = canonical.digest(canonical.encode(manifest["recipe"]))
    path.write_bytes(canonical.encode(manifest))
    return canonical.digest(path.read_bytes())


@pytest.mark.slow
def test_an_artifact_is_reproduced_from_its_folder(digits, copied, tmp_path):
    done = call("reproduce", copied, "--strict", "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    assert done.json["result"] == "identical"
    assert done.json["digest"] == done.json["rebuilt_digest"] == digits.digest
    assert done.json["suspects"] == []
    assert [path.name for path in tmp_path.iterdir()] == ["artifact"]
    short = digits.digest.removeprefix("sha256:")[:12]
    assert f"identical: {short} was trained again" in call("reproduce", copied, cwd=tmp_path).out


@pytest.mark.slow
def test_different_bytes_with_equal_predictions_name_the_differences(copied, tmp_path):
    digest = forge(copied, lambda recipe: recipe["packages"].update(numpy="2.0.1"))
    done = call("reproduce", copied, "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    found = done.json
    assert found["result"] == "same-predictions" and found["rows"] == []
    assert found["digest"] == digest != found["rebuilt_digest"]
    [suspect] = found["suspects"]
    assert suspect.startswith("packages numpy: 2.0.1 then, ")
    assert [field["field"] for field in found["fields"]] == ["recipe.packages.numpy"]
    assert found["install"].startswith("python -m pip install joblib==")
    assert " numpy==2.0.1 " in found["install"]
    strict = call("reproduce", copied, "--strict", cwd=tmp_path)
    assert strict.code == 1
    assert found["install"] in strict.out and suspect in strict.out
    assert strict.err.startswith("error: ") and strict.err.count("\n") == 1


@pytest.mark.slow
def test_another_profile_or_code_is_named_as_a_possible_cause(copied, tmp_path):
    forge(copied, lambda recipe: recipe["numerics"].update(profile="native", cpu="another"))
    found = call("reproduce", copied, "--json", cwd=tmp_path).json
    assert any(one.startswith("numerics profile: native then, ") for one in found["suspects"])
    assert found["install"] is None


@pytest.mark.slow
def test_different_predictions_name_the_rows(copied, tmp_path, digits):
    """The graph of another model, sealed under this recipe."""
    other = write(tmp_path, {**SHORT, "C": 1e-5})
    made = call("train", other, "--json", cwd=tmp_path).json
    graph = (tmp_path / made["artifact"] / "model.onnx").read_bytes()
    digest = reseal(copied, "model.onnx", graph)
    done = call("reproduce", copied, "--json", cwd=tmp_path)
    assert done.code == done.json["exit_code"] == 1
    assert done.json["result"] == "differs" and done.json["digest"] == digest
    assert "model.onnx" in done.json["files"]
    assert len(done.json["rows"]) > 100 and done.json["error"]["kind"] == "reproduction"
    assert "with other predictions" in call("reproduce", copied, cwd=tmp_path).out


def test_an_artifact_that_does_not_verify_is_not_reproduced(copied, tmp_path):
    (copied / "model.onnx").write_bytes(b"")
    assert call("reproduce", copied, cwd=tmp_path).code == 4


@pytest.mark.slow
def test_unavailable_data_exits_3(copied, tmp_path):
    forge(copied, lambda recipe: recipe["data"].update(digest="sha256:" + "0" * 64))
    done = call("reproduce", copied, cwd=tmp_path)
    assert done.code == 3 and "the recipe has 000000000000" in done.err


@pytest.mark.slow
def test_unknown_data_exits_2_or_3(copied, tmp_path):
    forge(copied, lambda recipe: recipe["data"].update(dataset="housing"))
    done = call("reproduce", copied, cwd=tmp_path)
    assert done.code in (2, 3) and "Traceback" not in done.err


@pytest.mark.slow
def test_with_packages_installs_the_packages_of_the_recipe(tmp_path):
    """An artifact made in an environment with another joblib, which is then built again."""
    pins = {line.split("==")[0]: line.split("==")[1].split()[0]
            for line in (ROOT / "requirements.txt").read_text("utf-8").splitlines()
            if "==" in line and (";" not in line or _applies(line))}  # fmt: skip
    pins["joblib"] = "1.5.2"
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    words = [f"{name}=={version}" for name, version in pins.items()]
    subprocess.run([python, "-m", "pip", "install", "--quiet", *words], check=True)
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    made = subprocess.run(
        [python, "-m", "artifact_pipeline", "train", write(tmp_path, QUICK), "--json"],
        cwd=tmp_path, env=env, capture_output=True, check=True,
    )  # fmt: skip
    artifact = json.loads(made.stdout)["artifact"]
    here = call("reproduce", artifact, "--json", cwd=tmp_path)
    assert here.json["result"] == "same-predictions"
    assert any(one.startswith("packages joblib: 1.5.2 then") for one in here.json["suspects"])
    there = call("reproduce", artifact, "--with-packages", "--strict", "--json", cwd=tmp_path)
    assert there.code == 0, there.err
    assert there.json["result"] == "identical"


def _applies(line):
    from packaging.markers import Marker

    return Marker(line.partition(";")[2].rstrip(" \\")).evaluate()
