"""Fits that use several threads give the bytes of a fit with one."""

import numpy as np
import pytest
import threadpoolctl
from sklearn.base import BaseEstimator

from artifact_pipeline.builder.config.resolved import ModelConfig
from artifact_pipeline.builder.formats import pickle_format
from artifact_pipeline.builder.model.construction import build, resolve
from artifact_pipeline.builder.model.fit import fit
from artifact_pipeline.builder.numeric_profile import THREADS_ENV_VAR
from tests.support.command import call
from tests.support.configs import write

rng = np.random.default_rng(0)
X = np.where(rng.random((3000, 6)) < 0.05, np.nan, rng.normal(size=(3000, 6)))
score = np.nansum(X, axis=1)


class Probe(BaseEstimator):
    """An estimator that holds another one, and records the threads while it is fitted."""

    def __init__(self, inner):
        self.inner = inner

    def fit(self, X, y):
        import joblib

        pools = threadpoolctl.threadpool_info()
        self.openmp_ = max(p["num_threads"] for p in pools if p["user_api"] == "openmp")
        self.blas_ = max(p["num_threads"] for p in pools if p["user_api"] == "blas")
        self.jobs_ = joblib.effective_n_jobs(None)
        return self


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "params", "target"),
    [
        ("HistGradientBoostingClassifier", {"max_iter": 10, "early_stopping": True}, "class"),
        ("HistGradientBoostingRegressor", {"max_iter": 10, "max_features": 0.5}, "number"),
        ("RandomForestClassifier", {"n_estimators": 7, "oob_score": True}, "class"),
        ("RandomForestRegressor", {"n_estimators": 7, "max_depth": 6}, "number"),
        ("ExtraTreesClassifier", {"n_estimators": 7}, "class"),
        ("ExtraTreesRegressor", {"n_estimators": 7, "max_depth": 6}, "number"),
    ],
)
def test_the_bytes_are_the_same_with_any_number_of_threads(name, params, target, monkeypatch):
    model = resolve(
        ModelConfig(estimator=f"sklearn.ensemble.{name}", params=params), 7, target=target
    )
    y = score if target == "number" else np.digitize(score, [-1, 1])
    dumps = set()
    for threads in ("1", "2", "3"):
        monkeypatch.setenv(THREADS_ENV_VAR, threads)
        dumps.add(pickle_format.dump(fit(build(model), X, y).estimator))
    assert len(dumps) == 1


@pytest.mark.parametrize(
    ("name", "openmp", "jobs"),
    [
        ("ensemble.HistGradientBoostingClassifier", 3, 1),
        ("ensemble.RandomForestClassifier", 1, 3),
        ("linear_model.LogisticRegression", 1, 1),
        ("neighbors.KNeighborsClassifier", 1, 1),
    ],
)
def test_only_estimators_with_stable_bytes_use_several_threads(name, openmp, jobs, monkeypatch):
    inner = build(resolve(ModelConfig(estimator=f"sklearn.{name}"), 7))
    monkeypatch.setenv(THREADS_ENV_VAR, "3")
    with threadpoolctl.threadpool_limits(1):
        probe = fit(Probe(inner), X, score).estimator
        assert (probe.openmp_, probe.jobs_, probe.blas_) == (openmp, jobs, 1)
        chosen = fit(Probe(inner), X, score, n_jobs=2).estimator
        assert (chosen.openmp_, chosen.jobs_) == (1, 2)
        pools = threadpoolctl.threadpool_info()
        assert {pool["num_threads"] for pool in pools} == {1}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["HistGradientBoostingClassifier", "RandomForestClassifier"])
def test_an_artifact_is_the_same_whatever_omp_num_threads_is(project, name):
    model = {"estimator": f"sklearn.ensemble.{name}"}
    path = write(project, {"data": {"dataset": "digits"}, "model": model})
    digests = {
        call("train", path, "--json", "--store", f"store-{threads}", cwd=project,
             env={"OMP_NUM_THREADS": threads}).json["digest"]
        for threads in ("1", "2")
    }  # fmt: skip
    assert len(digests) == 1
