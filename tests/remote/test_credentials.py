"""Credentials that a service refuses: it checks signatures, and the secret is not printed."""

import base64
import json
import os

import pytest

import artifact_pipeline as api
from artifact_pipeline.errors import NetworkError
from artifact_pipeline.remote import address as addresses
from artifact_pipeline.remote import bucket
from artifact_pipeline.remote.objects import ObjectRemote
from artifact_pipeline.remote.registry import credentials
from tests.remote.conftest import needs_azurite, needs_rclone
from tests.support.command import call
from tests.support.hostile_registry import HostileRegistry, endless, send
from tests.support.remotes import AWS

needs_posix = pytest.mark.skipif(os.name == "nt", reason="a script of sh, a pipe, a link")
WRONG = base64.b64encode(b"another secret of thirty-two byte").decode()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("remote", "variable"),
    [
        pytest.param("s3-rclone", "AWS_SECRET_ACCESS_KEY", marks=needs_rclone),
        pytest.param("az", "AZURE_STORAGE_ACCOUNT_KEY", marks=needs_azurite),
    ],
    indirect=["remote"],
)
def test_a_wrong_secret_is_refused_and_not_printed(remote, variable, store, tmp_path):
    push = ["push", "latest", remote, "--store", store, "-v"]
    done = call(*push, cwd=tmp_path, env={variable: WRONG})
    assert done.code == 5 and "access was denied" in done.err
    assert WRONG not in done.out + done.err
    assert call(*push, cwd=tmp_path).code == 0


@pytest.mark.slow
@pytest.mark.parametrize("text", [
    "[default]\naws_secret_access_key hunter2\n",
    "aws_secret_access_key = hunter2\n",
    "[default]\naws_secret_access_key = hunter2\naws_secret_access_key = hunter2\n",
    "[hunter2]\n[hunter2]\n",
    "[default]\naws_access_key_id = AK IA\naws_secret_access_key = hunter2\n",
    "[default]\nregion = \x01\naws_secret_access_key = hunter2\n",
])  # fmt: skip
def test_a_malformed_profile_is_named_and_not_printed(text, tmp_path):
    (tmp_path / "credentials").write_text(text)
    variables = {"AWS_SHARED_CREDENTIALS_FILE": "credentials", "AWS_EC2_METADATA_DISABLED": "true"}
    done = call("pull", "s3://models/churn", "-v", cwd=tmp_path, env=variables)
    assert done.code == 5 and "profile" in done.err, done.err
    assert "hunter2" not in done.out + done.err and "panicked" not in done.err


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_ENDPOINT_URL", "localhost:9000"),
        ("AWS_ENDPOINT_URL_S3", "http://?hunter2"),
        ("AZURE_STORAGE_ENDPOINT", "https://a b"),
        ("AWS_REGION", "eu west"),
        ("AWS_ACCESS_KEY_ID", "hunter2\u00fc"),
        ("AWS_SESSION_TOKEN", "hunter2\n"),
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/hunter2 x"),
        ("AZURE_STORAGE_TOKEN", "hunter2\nx"),
        ("AZURE_CLIENT_SECRET", "hunter2 x"),
        ("AZURE_TENANT_ID", "hunter2/\u00e9"),
    ],
)
def test_a_setting_that_is_not_valid_is_named_and_not_printed(name, value, monkeypatch):
    monkeypatch.setenv(name, value)
    with pytest.raises(NetworkError, match=f"^{name}: ") as caught:
        api.list_remote("s3://models/churn")
    assert value not in str(caught.value)


def huge_page(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", str(10**12))
    handler.end_headers()
    while True:
        handler.wfile.write(b"0" * 0x10000)


def truncated_page(handler):
    page = (
        "<ListBucketResult><Name>models</Name><Prefix></Prefix><KeyCount>0</KeyCount>"
        "<IsTruncated>true</IsTruncated><NextContinuationToken>again</NextContinuationToken>"
        "</ListBucketResult>"
    )
    send(handler, 200, page.encode())


@pytest.fixture
def service(digits, monkeypatch):
    """A service that is to answer as S3 does."""
    with HostileRegistry(digits.folder).serving() as service:
        for name, setting in {**AWS, "AWS_ENDPOINT_URL": f"http://{service.host}"}.items():
            monkeypatch.setenv(name, setting)
        yield service


@pytest.mark.parametrize("answer", [truncated_page, huge_page, endless])
def test_a_list_that_does_not_end_is_given_up(answer, service, monkeypatch):
    """The client ends its process if a page is said to be larger than the memory."""
    monkeypatch.setattr(bucket, "_LIST_SECONDS", 1.0)
    service.answers["list-type"] = answer
    with pytest.raises(NetworkError, match="does not list all entries below names/"):
        api.list_remote("s3://models/churn")


def test_a_list_of_other_keys_names_no_artifact(service):
    keys = ["names/latest", "other/churn/names/latest", "churn/names", "churn/attached/x"]
    entries = "".join(
        f"<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        "<ETag>x</ETag><Size>1</Size></Contents>"
        for key in keys
    )
    page = (
        "<ListBucketResult><Name>models</Name><Prefix></Prefix><KeyCount>4</KeyCount>"
        f"<IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"
    )
    service.answers["list-type"] = lambda handler: send(handler, 200, page.encode())
    assert api.list_remote("s3://models/churn") == []
    remote = bucket.BucketObjects(addresses.parse_remote("s3://models/churn"))
    assert ObjectRemote(remote).attachments(f"sha256:{'0' * 64}") == []


def write_config(folder, config, helper=""):
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "docker-credential-test").write_text(f"#!/bin/sh\n{helper}\n")
    (folder / "docker-credential-test").chmod(0o755)


@pytest.fixture
def docker(tmp_path, monkeypatch):
    """The folder of Docker's configuration, which is on the path."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    for name in ("REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "GITHUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.parametrize("config", [
    {"auths": None}, {"credHelpers": None}, {"auths": {"ghcr.io": None}}, {"auths": {}}, {},
])  # fmt: skip
def test_a_docker_configuration_with_null_in_it_has_no_credentials(config, docker):
    write_config(docker, config)
    assert credentials.find("ghcr.io") is None


@needs_posix
@pytest.mark.parametrize("answer", ["hunter2", "[]", '{"Username": "me", "Secret": null}', ""])
def test_a_helper_that_prints_no_credentials_is_named(answer, docker):
    write_config(docker, {"credsStore": "test"}, f"echo '{answer}'")
    with pytest.raises(NetworkError, match=r"^docker-credential-test: returns no cred") as caught:
        credentials.find("ghcr.io")
    assert "hunter2" not in str(caught.value)


@needs_posix
def test_a_configuration_that_is_a_pipe_is_not_read_and_a_link_is(docker):
    os.mkfifo(docker / "config.json")
    assert credentials.find("ghcr.io") is None
    (docker / "config.json").unlink()
    entry = {"username": "me", "password": "hunter2"}
    (docker / "dotfiles").write_text(json.dumps({"auths": {"ghcr.io": entry}}))
    (docker / "config.json").symlink_to("dotfiles")
    assert credentials.find("ghcr.io").password == "hunter2"
