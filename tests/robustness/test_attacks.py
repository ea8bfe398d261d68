"""Seeded samples of the counts of `python -m tests.robustness`, and race conditions."""

import contextlib
import json
import os
import pickle
import re
import shutil
import threading
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artifact_pipeline import open_artifact, open_trusted
from artifact_pipeline.builder.canonical import NotCanonical, decode, encode
from artifact_pipeline.errors import PipelineError, VerificationError
from tests.robustness import fuzzing, http_attacks, http_fuzzing, kills, nasty, store_names
from tests.robustness.__main__ import attack, gadgetry
from tests.robustness.gadgets import MUST_BE_NONE
from tests.robustness.http_requests import Model
from tests.support.command import call, script
from tests.support.configs import ROOT
from tests.support.waiting import until


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes and sockets in folders")
def test_no_changed_artifact_is_accepted_and_nothing_else_is_opened(digits):
    found = attack(digits.folder, 1000, 5)
    assert found.examples == []
    assert (found.tried, found.accepted, found.tracebacks) == (1000, 0, 0)
    assert (found.outside, found.unpickled) == (0, 0)
    assert found.peak_mib < 1000


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes and sockets in folders")
@pytest.mark.parametrize("tries", [15, pytest.param(10_000, marks=pytest.mark.slow)])
def test_an_unexpected_file_in_a_store_is_one_error(tmp_path, digits, tries):
    store = shutil.copytree(digits.store, tmp_path / "store")  # others read theirs meanwhile
    found = store_names.attack(store, tries, 9)
    assert found.examples == [] and found.tried == min(tries, len(store_names.cases()))
    assert found.peak_mib < 500


@pytest.mark.slow
def test_a_mutated_config_is_accepted_or_refused_in_one_line(tmp_path):
    found = fuzzing.configs(400, 6, tmp_path)
    assert (found.examples, found.tracebacks, found.wrong_codes) == ([], 0, 0)
    assert found.taken > 10 and found.refused > 100 and found.by_command == 2


@pytest.mark.slow
def test_a_mutated_file_of_rows_is_accepted_or_refused_in_one_line(tmp_path, digits):
    found = fuzzing.row_files(600, 7, tmp_path, digits.folder)
    assert (found.examples, found.tracebacks, found.wrong_codes) == ([], 0, 0)
    assert found.taken > 10 and found.refused > 100 and found.by_command == 3


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("at_once", [1, 2])
def test_a_kill_at_any_moment_loses_nothing(tmp_path, at_once):
    found = kills.count(4, 8, tmp_path, at_once)
    assert found.examples == [] and found.kills == 4 and found.in_time > 0
    assert (found.broken, found.lost, found.failed, found.left) == (0, 0, 0, 0)


@pytest.fixture
def served(digits):
    return Model("digits", open_artifact(digits.folder, digits.digest), digits.folder)


def wrong(found):
    return {
        name: getattr(found, name) for name in http_fuzzing.MUST_BE_NONE if getattr(found, name)
    }


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="what is served is watched by /proc")
def test_each_request_gets_the_prediction_of_the_artifact_or_a_refusal(tmp_path, served):
    found = http_fuzzing.count(tmp_path, [served], requests=200, seed=9)
    assert (found.examples, wrong(found)) == ([], {})
    assert found.predictions > 40 and found.refused > 30


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="what is served is watched by /proc")
def test_each_request_is_answered_by_the_model_that_it_names(tmp_path):
    models = http_fuzzing.models(tmp_path)
    found = http_fuzzing.count(tmp_path, models, requests=1000, seed=10)
    assert (found.examples, wrong(found)) == ([], {})
    assert found.predictions > 200 and found.refused > 150


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="what is served is watched by /proc")
def test_no_client_starves_others(tmp_path, served):
    found = list(http_attacks.attacks(tmp_path, served, 0.02))
    assert {one.name: n for one in found for n in one.must_be_none.items() if n[1]} == {}
    assert len(found) == 8


@pytest.mark.slow
def test_no_archive_and_no_config_opens_a_file_or_runs_code():
    found = gadgetry(0.02, 12)
    for one in (found.archives, found.configs):
        assert (one.examples, [getattr(one, name) for name in MUST_BE_NONE]) == ([], [0, 0, 0, 0])
    assert found.archives.tried > 80 and found.configs.tried > 100
    assert found.configs.taken > 5
    assert (found.graphs.examples, found.graphs.opened, found.graphs.tracebacks) == ([], 0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model.onnx", "manifest.json", "evaluation.json"])
def test_a_file_that_changes_during_opening_is_refused_or_unnoticed(copied, digits, name):
    """What was verified is what is opened: the prediction is the sealed one, or there is none."""
    path, whole = copied / name, (copied / name).read_bytes()
    rows = np.arange(128.0).reshape(2, 64) % 17
    expected = open_artifact(digits.folder).predict_proba(rows)
    ended = threading.Event()

    def change():
        random = Random(1)
        while not ended.is_set():
            path.write_bytes(nasty.edited(whole, random))
            path.write_bytes(whole)

    changer = threading.Thread(target=change)
    changer.start()
    tried = refused = 0

    def enough():
        nonlocal tried, refused
        tried += 1
        try:
            found = open_artifact(copied, digits.digest).predict_proba(rows)
            assert (found == expected).all()
        except VerificationError:
            refused += 1
        return tried >= 60 and refused

    try:
        until(enough, "no change was seen")
    finally:
        ended.set()
        changer.join()


class Canary:
    """Unpickled, it leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


@pytest.mark.slow
def test_the_audit_hook_ends_a_process_that_unpickles(tmp_path, digits):
    """The hook in tests/support/audit watches every command that the tests call."""
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(Canary(tmp_path / "fired")))
    done = script("-c", "import pickle; pickle.load(open('x.pkl', 'rb'))", cwd=tmp_path)
    assert done.code == 99 and "outside of load_model" in done.err
    assert not (tmp_path / "fired").exists()
    code = "import sys; from artifact_pipeline import load_model; load_model(sys.argv[1])"
    assert script("-c", code, digits.folder / "model_train.pkl", cwd=tmp_path).code == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "place", ["model.sig", "trust.json", "aliases", "recipes", "runs", "state"]
)
def test_no_pickle_in_store_or_state_is_opened(digits, tmp_path, place, project):
    """Files of the store and of the state; test_onnx_format.py covers those of an artifact."""
    import shutil

    canary = pickle.dumps(Canary(tmp_path / "fired"))
    store = project / "artifacts"
    shutil.copytree(digits.store, store)
    state = project / "state"
    env = {"XDG_STATE_HOME": str(state)}
    assert call("run", cwd=project, env=env).code == 0
    folder = store / digits.folder.name
    targets = {
        "model.sig": [folder / "model.sig"],
        "trust.json": [store / "trust.json"],
        "aliases": list((store / "aliases").iterdir()),
        "recipes": list((store / "recipes").iterdir()),
        "runs": list((store / "runs").iterdir()),
        "state": [path for path in state.rglob("*") if path.is_file()],
    }[place]
    assert targets
    for path in targets:
        path.write_bytes(canary)
    for words in (("run",), ("list",), ("show", folder), ("doctor",), ("infer", folder), ("sign",
                  folder, "--key", store / "trust.json")):  # fmt: skip
        done = call(*words, cwd=project, env=env)
        assert done.code != 99 and "Traceback" not in done.err, (words, done.err)
    assert not (tmp_path / "fired").exists()


@settings(
    max_examples=200,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.randoms(use_true_random=False))
def test_a_mutated_manifest_is_refused_without_a_traceback(copied, random):
    path = copied / "manifest.json"
    whole = path.read_bytes()
    changed = nasty.text(nasty.mutated(json.loads(whole), random))
    with contextlib.suppress(NotCanonical):
        changed = encode(decode(changed))
    path.write_bytes(changed)
    try:
        try:
            open_trusted(copied)
        except PipelineError as error:
            assert "\n" not in str(error)
        if changed != whole:
            with pytest.raises(VerificationError):
                open_trusted(copied, "sha256:" + "0" * 64)
    finally:
        path.write_bytes(whole)


def test_the_documented_figures_are_those_of_the_command():
    """And docs/security.md quotes them as they are printed: a look is the same, with less tried."""
    page = (ROOT / "docs" / "security.md").read_text("utf-8")
    code = "".join(
        path.read_text("utf-8")
        for path in (ROOT / "tests" / "robustness").glob("*.py")
        if not path.name.startswith("test_")
    )
    [figures] = re.findall(r"```text\n(artifacts changed .*?)```", page, re.S)
    for line in figures.strip().splitlines():
        what = re.split(r" {2,}\d|, x86", line.strip())[0]
        assert what in code and not re.search(r"[1-9]\d* (accepted|tracebacks|broken|lost)", line)
