"""Addresses: what they accept, and that what they refuse is never printed."""

import pytest

import artifact_pipeline as api
from artifact_pipeline.errors import CallError
from artifact_pipeline.log import scrub
from artifact_pipeline.remote.address import is_remote, parse
from tests.support.command import call

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("text", "address", "label"),
    [
        ("s3://models", "s3://models", None),
        ("s3://models@champion", "s3://models", "champion"),
        ("s3://models/a/churn/", "s3://models/a/churn", None),
        ("gs://models/churn:12", "gs://models/churn", "12"),
        ("az://models/churn@" + DIGEST, "az://models/churn", DIGEST),
        ("oci://localhost:5000/a/churn", "oci://localhost:5000/a/churn", None),
        ("oci://localhost:5000/churn:3", "oci://localhost:5000/churn", "3"),
        ("oci://ghcr.io/acme/churn:champion", "oci://ghcr.io/acme/churn", "champion"),
        ("file:///srv/models@champion", "file:///srv/models", "champion"),
        ("file:///srv/a%20b", "file:///srv/a%20b", None),
        ("S3://models/churn", "s3://models/churn", None),
        ("oci://GHCR.io/acme/churn", "oci://ghcr.io/acme/churn", None),
        ("oci://[::1]:5000/acme/churn:3", "oci://[::1]:5000/acme/churn", "3"),
    ],
)
def test_an_address_and_its_label(text, address, label):
    reference = parse(text)
    assert (str(reference.address), reference.label) == (address, label)
    assert is_remote(text) and parse(str(reference)) == reference


@pytest.mark.parametrize(
    "text",
    [
        "https://user:hunter2@example.org/churn",
        "s3://AKIA:hunter2@models/churn",
        "s3://AKIA:hunter2@models",
        "oci://user:hunter2@ghcr.io/acme/churn",
        "oci://hunter2@ghcr.io/acme/churn@champion",
        "az://models/churn?sig=hunter2",
        "s3://models/churn#hunter2",
        "s3://models/../hunter2",
        "s3://models/a//hunter2",
        "oci://ghcr.io/hunter2!",
        "oci://hunter2",
        "file://hunter2/share",
        "file:///srv/../hunter2",
        "s3://models/\x1bhunter2",
        "s3://models/churn@sha256:hunter2",
        "file:///srv/churn@sha256:hunter2",
        "file:///srv/hunter2%FF",
        "oci://hunter2..example.org/churn",
        "oci://hunter2:0/churn",
        "oci://hunter2:65536/churn",
        "oci://[1:2]/hunter2",
        "oci://[:::::]/hunter2",
    ],
)
@pytest.mark.parametrize("words", [["pull"], ["push", "latest"], ["remote", "list"]])
def test_a_wrong_address_is_refused_without_printing_it(text, words, digits, tmp_path):
    calls = {
        "pull": lambda: api.pull(text, store=tmp_path),
        "push": lambda: api.push("latest", text, store=digits.store),
        "remote": lambda: api.list_remote(text),
    }
    with pytest.raises(CallError) as caught:
        calls[words[0]]()
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "label",
    ["@", "@@champion", "@champion@staging", ":0", ":1:2", "@1", "@champion:3", f":3@{DIGEST}",
     f"@SHA256:{DIGEST[7:]}", f"@sha512:{DIGEST[7:]}"],
)  # fmt: skip
@pytest.mark.parametrize("address", ["s3://models/churn", "oci://ghcr.io/acme/churn"])
def test_a_wrong_label_is_named_as_such(address, label):
    with pytest.raises(CallError, match="found no valid label; expected one of @ALIAS, :VERSION"):
        parse(address + label)


def test_a_password_in_an_address_is_nowhere_in_the_output(tmp_path):
    done = call("pull", "oci://me:hunter2@ghcr.io/a/b", "-v", cwd=tmp_path)
    assert done.code == 2 and "hunter2" not in done.out + done.err
    done = call("pull", "x", "oci://me:hunter2@ghcr.io/a/b", cwd=tmp_path)
    assert done.code == 2 and "hunter2" not in done.out + done.err
    assert scrub("x https://me:hunter2@ghcr.io y") == "x https://***@ghcr.io y"
    assert scrub("http://hunter2@proxy:3128/") == "http://***@proxy:3128/"
