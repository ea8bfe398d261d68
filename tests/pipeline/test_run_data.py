"""`--data`: a table that is elsewhere than `data.path` says."""

import os
import shutil
import time

import pytest

import artifact_pipeline as api
from artifact_pipeline.errors import CallError
from tests.support.command import call
from tests.support.configs import QUICK, write
from tests.support.s3 import endpoint

CONFIG = {
    "data": {"path": "data/rows.csv", "target": "level"},
    "model": {"estimator": "sklearn.naive_bayes.GaussianNB"},
}


def table(path, shift=0):
    """Write a table that is old enough to be remembered by its times."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"{n % 7},{(n + shift) * 5 % 11},{'high' if n % 7 > 3 else 'low'}" for n in range(200)]
    path.write_text("\n".join(["a,b,level", *rows]) + "\n")
    old = time.time() - 60
    os.utime(path, (old, old))
    return path


@pytest.fixture
def config(project):
    return write(project, CONFIG, "config/rows.json")


def recipe(*words, cwd):
    done = call("recipe", *words, "--json", cwd=cwd)
    assert done.code == 0, done.err
    return done.json


def test_the_same_rows_elsewhere_have_the_same_recipe(project, config):
    table(project / "config" / "data" / "rows.csv")
    here = recipe(config, cwd=project)
    shutil.move(project / "config" / "data", project / "moved")
    (project / "moved" / "rows.csv").rename(project / "moved" / "other name.csv")
    there = recipe(config, "--data", "moved/other name.csv", cwd=project)
    assert there == here
    assert there["recipe"]["name"] == "rows"  # as before, from data.path
    assert "moved" not in str(there) and "other name" not in str(there)


@pytest.mark.slow
def test_the_cache_of_checked_configs_keeps_tables_apart(project, config):
    table(project / "config" / "data" / "rows.csv")
    one, two = table(project / "one.csv", shift=1), table(project / "two.csv", shift=2)
    words = {"config": (), "one": ("--data", one), "two": ("--data", two)}
    first = {name: recipe(config, *more, cwd=project) for name, more in words.items()}
    assert len({found["recipe_digest"] for found in first.values()}) == 3
    assert {name: recipe(config, *more, cwd=project) for name, more in words.items()} == first


@pytest.mark.slow
def test_a_table_of_a_bucket_is_trained_and_predicted_without_changing_the_config(project, config):
    import boto3

    with endpoint("tables") as variables:
        client = boto3.client("s3")
        client.upload_file(str(table(project / "local.csv")), "tables", "v1/rows.csv")
        address = "s3://tables/v1/rows.csv"
        done = call("train", config, "--data", address, "--json", cwd=project, env=variables)
        assert done.code == 0, done.err
        local = recipe(config, "--data", "local.csv", cwd=project)
        assert done.json["recipe_digest"] == local["recipe_digest"]
        record = api.show(done.json["digest"], store=project / "artifacts").record
        assert record.data == address
        # The held-out rows come from where the run read them.
        done = call("infer", "latest", "--json", cwd=project, env=variables)
        assert done.code == 0, done.err
        again = call("reproduce", "latest", "--json", cwd=project, env=variables)
        assert again.json["result"] == "identical"
        missing = call("recipe", config, "--data", "s3://tables/v2/rows.csv", cwd=project)
        assert missing.code == 3
        assert missing.err == "error: s3://tables/v2/rows.csv: no such file\n"


@pytest.mark.slow
def test_another_checkout_has_the_table_where_its_config_says(project, config):
    first, second = project / "first", project / "second"
    for checkout in (first, second):
        table(checkout / "config" / "data" / "rows.csv")
        shutil.copy(config, checkout / "config")
    done = call("train", "config/rows.json", "--json", cwd=first)
    assert done.code == 0, done.err
    shutil.move(first / "artifacts", second / "artifacts")
    shutil.rmtree(first)
    done = call("infer", "latest", "--json", cwd=second)
    assert done.code == 0, done.err
    # Other rows there are refused, and nothing there is an error with a remedy.
    table(second / "config" / "data" / "rows.csv", shift=1)
    done = call("infer", "latest", cwd=second)
    assert done.code == 3 and "digest" in done.err
    shutil.rmtree(second / "config" / "data")
    done = call("infer", "latest", cwd=second)
    assert done.code == 3 and "which cannot be read here; name the table with --data" in done.err


@pytest.mark.parametrize(
    ("path", "code", "message"),
    [
        ("", 2, "--data: is empty, expected a path"),
        ("nothing.csv", 3, "nothing.csv: no such file"),
        ("config/config.json.txt", 3, "no such file"),
        ("https://example.org/rows.csv", 3, "https://example.org/rows.csv: is a URL"),
        ("a\nb.csv", 3, "no such file"),
    ],
)
def test_a_wrong_path_is_an_error_in_one_line(project, config, path, code, message):
    done = call("train", config, "--data", path, cwd=project)
    assert done.code == code and message in done.err
    assert done.err.startswith("error: ") and done.err.count("\n") == 1
    assert "relative to the config" not in done.err  # it is relative to the working folder


def test_a_bundled_data_set_has_no_path_to_replace(project):
    table(project / "rows.csv")
    done = call("train", write(project, QUICK), "--data", "rows.csv", cwd=project)
    assert done.code == 2 and "--data: replaces data.path" in done.err
    with pytest.raises(CallError, match="bundled data set iris"):
        api.recipe_of(QUICK, data=project / "rows.csv")


@pytest.mark.slow
def test_empty_variables_of_a_store_are_as_if_they_were_not_set(project, config):
    """As in a workflow that passes on secrets and inputs which are not set."""
    import boto3

    empty = ("AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_PROFILE",
             "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "AWS_CA_BUNDLE")  # fmt: skip
    with endpoint("tables") as variables:
        boto3.client("s3").upload_file(str(table(project / "local.csv")), "tables", "rows.csv")
        env = {**variables, **dict.fromkeys(empty, "")}
        words = (config, "--data", "s3://tables/rows.csv", "--json")
        done = call("train", *words, cwd=project, env=env)
        assert done.code == 0, done.err
        done = call("push", "latest", "s3://tables/models", cwd=project, env=env)
        assert done.code == 0, done.err
