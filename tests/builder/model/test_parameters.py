"""A config only computes: no parameter in it opens a file, caches, or calls what it names.

Each attack here ran code, or read or wrote a file, before its parameter was refused.
"""

from __future__ import annotations

import inspect
import json
import re

import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.gaussian_process import kernels
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils import all_estimators

from artifact_pipeline import seal
from artifact_pipeline.builder.config.loader import load
from artifact_pipeline.builder.config.resolved import Search
from artifact_pipeline.builder.model.construction import build, resolve
from artifact_pipeline.builder.model.estimators import make, resolve_value
from artifact_pipeline.builder.model.parameters import GRIDS, KERNELS, RULES, check
from artifact_pipeline.builder.model.search import build_search
from artifact_pipeline.errors import CallError, ConfigError, Location
from tests.support.command import call
from tests.support.configs import QUICK, write

# Everything else that could do more than compute, by its type or by its documentation.
HARMLESS = {
    "an estimator, checked like the one that holds it": """
        covariance_estimator estimator estimators final_estimator init n_clusters regressor
        remainder steps transformer transformer_list transformers""",
    "a callable, and no other value that does anything: JSON cannot say one, and a kernel is "
    "refused": """
        affinity analyzer connectivity feature_name_combiner feature_names_out fun is_data_valid
        is_model_valid kernel loss max_features metric oob_score optimizer pooling_func
        preprocessor score_func strategy strip_accents tokenizer weights""",
    "the name of a score, looked up in scikit-learn's table": "refit scoring",
    "labels, categories, weights, names of columns, or numbers": """
        categories class_weight constant fill_value interaction_cst monotonic_cst pos_label
        outlier_label stop_words transform_input transformer_weights vocabulary cv separator""",
    "parsed by scikit-learn as a number and a word": "threshold",
    "a regular expression, applied to the config's own rows": "token_pattern",
    "the name of a codec of Python, which is looked up in its own package": "encoding",
    "the name of a type of numpy": "dtype",
    "how much is printed, or how many processes compute": "verbose n_jobs",
    "documented with such a word, and about memory, or the path of a solver": """
        algorithm alphas batch_size block_size cache_size compute_distances compute_full_tree
        compute_inverse_components copy copy_X dense_output eps fit_path leaf_size max_n_alphas
        max_subpopulation path_method solver svd_solver tol whiten_solver with_centering
        with_mean""",
}
_LOOKED_AT = {name for names in HARMLESS.values() for name in names.split()}
_WORDS = re.compile(
    r"(?i)\b(files?|filenames?|paths?|folders?|director(y|ies)|cach\w+|disk|memory|pickle\w*|"
    r"urls?|eval|getattr|format string)\b"
)
_TYPES = ("dict", "list", "Mapping", "MutableMapping", "object")


def could_do_more(cls):
    """Yield the parameters of a class whose type or documentation admits more than numbers."""
    doc = inspect.getdoc(cls) or ""
    section = re.search(r"Parameters\n-+\n(.*?)(?=\n\n?[A-Z][A-Za-z ]+\n-{3,}|\Z)", doc, re.S)
    told = {
        name: text
        for names, text in re.findall(
            r"(?m)^(\w+(?:, \w+)*) ?:(.*(?:\n(?:    .*|))*)", section[1] if section else ""
        )
        for name in names.split(", ")
    }
    constraints = getattr(cls, "_parameter_constraints", {})
    for name, parameter in inspect.signature(cls).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        kinds = constraints.get(name, "none")
        if (
            isinstance(kinds, str)
            or any(
                kind is callable
                or kind in (str, "cv_object")
                or getattr(kind, "__name__", "") in _TYPES
                or type(kind).__name__ == "HasMethods"
                for kind in kinds
            )
            or _WORDS.search(told.get(name, ""))
        ):
            yield name


def test_every_parameter_that_could_do_more_than_compute_is_classified():
    """A new scikit-learn may add one: decide whether `parameters.RULES` or HARMLESS gets it."""
    found = {name for _, cls in all_estimators() for name in could_do_more(cls)}
    assert found - RULES.keys() - _LOOKED_AT - {*GRIDS} == set()
    assert RULES.keys() - found == {"pairwise_kernels_kwargs"}, "the scan overlooks these"
    assert not RULES.keys() & _LOOKED_AT


def test_every_parameter_of_a_kernel_is_classified():
    found = {
        name
        for cls in vars(kernels).values()
        if inspect.isclass(cls) and issubclass(cls, kernels.Kernel)
        for name in inspect.signature(cls).parameters
    }
    numbers = {name for name in found if re.search("bounds$|^length|^alpha|^nu$|^sigma", name)}
    numbers |= {"constant_value", "exponent", "gamma", "noise_level", "periodicity"}
    assert found - numbers - {*KERNELS, "metric"} == {"pairwise_kernels_kwargs"}


def test_the_defaults_of_every_estimator_are_allowed():
    for _, cls in all_estimators():
        for name, parameter in inspect.signature(cls).parameters.items():
            if parameter.default is not parameter.empty:
                check(name, parameter.default, location=Location(key=f"{cls.__name__}.{name}"))


def test_only_kernels_are_callable_among_what_a_config_can_make():
    called = [cls for _, cls in all_estimators() if any("__call__" in vars(c) for c in cls.__mro__)]
    assert called == []


SVM = {"estimator": "sklearn.svm.SVC"}
RBF = {"estimator": "sklearn.gaussian_process.kernels.RBF"}
STEPS = [["scale", {"estimator": "sklearn.preprocessing.StandardScaler"}], ["model", SVM]]
PIPELINE = "sklearn.pipeline.Pipeline"
NESTED = {"estimator": PIPELINE, "params": {"steps": STEPS, "memory": "cache"}}
GRID = "sklearn.model_selection.GridSearchCV"
CLEAN = {"estimator": PIPELINE, "params": {"steps": STEPS}}
ATTACKS = [
    (PIPELINE, {"steps": STEPS, "memory": "cache"}, "memory"),
    (PIPELINE, {"steps": STEPS, "memory": ""}, "memory"),
    ("sklearn.cluster.FeatureAgglomeration", {"memory": "/tmp/x"}, "memory"),
    ("sklearn.ensemble.BaggingClassifier", {"estimator": NESTED}, "estimator.params.memory"),
    ("sklearn.ensemble.VotingClassifier", {"estimators": [["a", NESTED]]}, "memory"),
    ("sklearn.ensemble.BaggingClassifier", {"estimator": CLEAN, "estimator__memory": "cache"},
     "estimator__memory"),
    (GRID, {"estimator": CLEAN, "param_grid": {"memory": ["cache"]}}, "param_grid.memory"),
    (GRID, {"estimator": CLEAN, "param_grid": {"memory": "cache"}}, "param_grid.memory"),
    (GRID, {"estimator": CLEAN, "param_grid": [{"memory": [None, "cache"]}]}, "memory"),
    (GRID, {"estimator": CLEAN, "param_grid": [["memory", ["cache"]]]}, "param_grid.memory"),
    (GRID, {"estimator": CLEAN, "param_grid": {"model__a__memory": [["x"]]}}, "a__memory"),
    ("sklearn.model_selection.RandomizedSearchCV",
     {"estimator": CLEAN, "param_distributions": [{"memory": ["cache"]}]}, "memory"),
    (GRID, {"estimator": SVM, "param_grid": {"C": [1]}, "pre_dispatch": "2**n_jobs"},
     "pre_dispatch"),
    (GRID, {"estimator": SVM, "param_grid": {"C": [1]}, "scoring": RBF}, "scoring"),
    (GRID, {"estimator": SVM, "param_grid": {"C": [1]}, "scoring": [["x", RBF]]}, "scoring"),
    ("sklearn.feature_extraction.text.CountVectorizer", {"input": "filename"}, "input"),
    ("sklearn.feature_extraction.text.TfidfVectorizer", {"input": "file"}, "input"),
    ("sklearn.feature_extraction.text.HashingVectorizer", {"input": ["content"]}, "input"),
    ("sklearn.feature_extraction.text.CountVectorizer", {"tokenizer": RBF}, "tokenizer"),
    ("sklearn.preprocessing.FunctionTransformer", {"func": "os.system"}, "func"),
    ("sklearn.preprocessing.FunctionTransformer", {"inverse_func": RBF}, "inverse_func"),
    ("sklearn.preprocessing.FunctionTransformer", {"kw_args": {"out": 1}}, "kw_args"),
    ("sklearn.neighbors.KNeighborsClassifier", {"metric": RBF}, "metric"),
    ("sklearn.neighbors.KNeighborsClassifier", {"metric_params": {"func": "x"}}, "metric_params"),
    ("sklearn.linear_model.QuantileRegressor",
     {"solver_options": {"write_model_file": "x.lp", "write_model_to_file": True}},
     "solver_options"),
    ("sklearn.linear_model.QuantileRegressor", {"solver_options": [["log_file", "x"]]},
     "solver_options"),
    ("sklearn.feature_selection.RFE",
     {"estimator": SVM, "importance_getter": "__class__.__init__.__globals__"},
     "importance_getter"),
    ("sklearn.multioutput.ClassifierChain", {"estimator": SVM, "chain_method": ["__reduce_ex__"]},
     "chain_method"),
    ("sklearn.compose.ColumnTransformer",
     {"transformers": [], "verbose_feature_names_out": "{feature_name.__class__}"},
     "verbose_feature_names_out"),
]  # fmt: skip


@pytest.mark.parametrize(("estimator", "params", "place"), ATTACKS)
def test_a_parameter_that_does_more_than_compute_is_refused_by_its_name(estimator, params, place):
    """As the model, as a step, and inside of another estimator."""
    inner = {"estimator": estimator, "params": params}
    for model, where in (
        (inner, f"model.params.{place}"),
        ({"steps": [{"name": "one", **inner}, {"name": "two", **SVM}]}, place),
        ({"estimator": GRID, "params": {"estimator": inner, "param_grid": {}}}, place),
    ):
        config = load({**QUICK, "model": model})
        with pytest.raises(ConfigError) as caught:
            resolve(config.model, 1)
        assert "\n" not in str(caught.value)
        assert str(caught.value.location).startswith("model") and where.split(".")[-1] in str(
            caught.value
        )
        assert caught.value.exit_code == 2


@pytest.mark.parametrize(("estimator", "params", "place"), ATTACKS)
def test_a_search_value_is_refused_like_a_parameter(estimator, params, place):
    with pytest.raises(ConfigError, match=re.escape(place.split(".")[-1])):
        value, place = {"estimator": estimator, "params": params}, "search.params.model"
        resolve_value("model", value, random_state=1, location=Location(key=place))


def test_parameters_that_only_compute_are_accepted():
    for name, params in (
        (PIPELINE, {"steps": STEPS, "memory": None, "verbose": True}),
        ("sklearn.feature_extraction.text.CountVectorizer", {"input": "content"}),
        ("sklearn.neighbors.KNeighborsClassifier", {"metric_params": {"w": [1, 2]}}),
        ("sklearn.gaussian_process.GaussianProcessClassifier", {"kernel": RBF}),
        ("sklearn.svm.SVC", {"kernel": "rbf"}),
        ("sklearn.linear_model.QuantileRegressor", {"solver_options": {"presolve": False}}),
        ("sklearn.feature_selection.RFE",
         {"estimator": SVM, "importance_getter": "named_steps.a.coef_"}),
        (GRID, {"estimator": SVM, "param_grid": {"C": [1, 2]}, "pre_dispatch": "2*n_jobs"}),
        ("sklearn.compose.ColumnTransformer",
         {"transformers": [], "verbose_feature_names_out": "{transformer_name}: {feature_name}"}),
    ):  # fmt: skip
        value, place = {"estimator": name, "params": params}, Location(key="model")
        found = resolve_value("model", value, random_state=1, location=place)
        make(found["estimator"], found["params"])


@pytest.mark.parametrize("name", [
    "sklearn.utils.tests.test_pprint.LogisticRegression", "sklearn.svm.tests.test_svm.SVC",
    "sklearn.utils.estimator_checks.BaseEstimator", "sklearn.conftest.SVC",
    "sklearn.experimental.enable_halving_search_cv.HalvingGridSearchCV"])  # fmt: skip
def test_modules_of_tests_are_not_imported(name):
    with pytest.raises(ConfigError, match="expected the public name"):
        place = Location(key="model")
        resolve_value("model", {"estimator": name}, random_state=1, location=place)


@pytest.mark.parametrize(
    ("params", "place"),
    [
        ({"inner__memory": [None, "cache"]}, "search.params.inner__memory[1]"),
        ({"inner": [NESTED]}, "search.params.inner[0].params.memory"),
        ({"inner__model__kernel": [RBF], "inner__model__gamma": [RBF]},
         "search.params.inner__model__gamma[0]"),
    ],
)  # fmt: skip
def test_a_search_refuses_parameters_by_location(params, place):
    model = load({**QUICK, "model": {"steps": [{"name": "inner", **CLEAN}]}}).model
    estimator = build(resolve(model, 1))
    with pytest.raises(ConfigError) as caught:
        search = Search(params=params, method="grid", cv=5)
        build_search(
            estimator,
            search,
            folds=[],
            scoring="accuracy",
            random_state=1,
            location=Location(key="search"),
        )
    assert str(caught.value.location) == place


def test_a_search_seeds_its_estimators():
    """Otherwise the same recipe would give another model each time."""
    forest = {"estimator": "sklearn.ensemble.RandomForestClassifier"}
    estimator = make_pipeline(SVC())
    search = build_search(
        estimator,
        Search(params={"svc": [forest]}, method="grid", cv=5),
        folds=[],
        scoring="accuracy",
        random_state=7,
        location=Location(key="search"),
    )
    assert search.param_grid["svc"][0].random_state == 7


@pytest.mark.slow
def test_a_command_refuses_a_cache_and_reads_nothing_of_it(project):
    """joblib unpickles what lies in the folder, and `tests/support/audit` would end the process."""
    done = call("run", write(project, {**QUICK, "model": NESTED}), "--json", cwd=project)
    assert done.code == 2, done.err
    assert done.json["error"]["where"] == f"{project / 'config.json'}: model.params.memory"
    assert "Traceback" not in done.err and done.err.count("error: ") == 1
    assert not (project / "cache").exists()


@pytest.mark.slow
def test_a_file_named_by_a_table_is_not_read(project):
    (project / "secret.txt").write_text("confidential words")
    write(project, "text,label\n" + "".join(f"secret.txt,{i % 2}\n" for i in range(20)), "rows.csv")
    words = {"estimator": "sklearn.feature_extraction.text.CountVectorizer",
             "params": {"input": "filename"}}  # fmt: skip
    config = {
        "data": {"path": "rows.csv", "target": "label"},
        "model": {"steps": [
            {"name": "prep", "branches": [{"name": "words", "column": "text", **words}]},
            {"name": "model", "estimator": "sklearn.naive_bayes.MultinomialNB"}]},
    }  # fmt: skip
    done = call("run", write(project, config), "--json", cwd=project)
    assert done.code == 2, done.err
    assert done.json["error"]["where"].endswith(": model.steps[0].branches[0].params.input")


@pytest.mark.slow
def test_a_search_over_estimators_is_reproducible(project):
    forest = {"estimator": "sklearn.ensemble.RandomForestClassifier", "params": {"n_estimators": 3}}
    config = {**QUICK, "model": {"steps": [{"name": "model", **SVM}]},
              "search": {"params": {"model": [forest]}, "cv": 2}}  # fmt: skip
    path = write(project, config)
    first = call("run", path, "--json", cwd=project)
    assert first.code == 0, first.err
    again = call("run", path, "--force", "--json", cwd=project)
    assert again.code == 0 and again.json["digest"] == first.json["digest"]
    seen = json.loads((project / first.json["artifact"] / "evaluation.json").read_bytes())
    assert seen["search"]["candidates"][0]["params"] == {"model": forest}


def test_a_model_that_opens_files_is_not_sealed(project, tmp_path):
    """Whoever sends rows to it would name the files."""
    X = [[0.0, 1.0], [1.0, 0.0], [2.0, 1.0], [3.0, 0.0]]
    cached = make_pipeline(StandardScaler(), SVC(), memory=str(tmp_path / "c")).fit(X, [0, 1, 0, 1])
    with pytest.raises(CallError, match=r"its Pipeline has memory=.* unpickles"):
        seal(cached, X, [0, 1, 0, 1])
    (tmp_path / "one.txt").write_text("some words")
    reader = make_pipeline(CountVectorizer(input="filename"), LogisticRegression())
    names = [str(tmp_path / "one.txt")] * 4
    reader.fit(names, [0, 1, 0, 1])
    with pytest.raises(CallError, match="its CountVectorizer has input='filename'"):
        seal(reader, X, [0, 1, 0, 1])
    assert not (project / "artifacts").exists()
