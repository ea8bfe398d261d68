"""TLS: a certificate that no known authority signed is refused."""

import json
import os

import pytest

from tests.remote.conftest import needs_registry
from tests.support.command import call
from tests.support.remotes import LOGIN, certificates, docker_login, registry, s3


@pytest.mark.slow
def test_a_bucket_behind_tls_needs_a_known_certificate(store, tmp_path):
    tls = certificates(tmp_path)
    words = ["push", "latest", "s3://models/churn", "--store", store]
    with s3(tls) as environment:
        done = call(*words, cwd=tmp_path, env={**environment, "SSL_CERT_FILE": ""})
        assert done.code == 5 and done.err.count("\n") == 1, done.err
        assert "open-sesame" not in done.err
        trusting = {**environment, "SSL_CERT_FILE": str(tls.authority)}
        assert call(*words, cwd=tmp_path, env=trusting).code == 0
        done = call("pull", "s3://models/churn", "--store", "there", cwd=tmp_path, env=trusting)
        assert done.code == 0, done.err


@pytest.mark.slow
@needs_registry
def test_a_registry_behind_tls_and_a_login(store, tmp_path):
    tls = certificates(tmp_path)
    with registry(tmp_path, tls=tls, login=True) as host:
        words = ["push", "latest", f"oci://{host}/acme/churn", "--store", store]
        nobody = {"DOCKER_CONFIG": str(tmp_path / "nobody"), "SSL_CERT_FILE": ""}
        assert call(*words, cwd=tmp_path, env=nobody).code == 5
        trusting = {**nobody, "SSL_CERT_FILE": str(tls.authority)}
        done = call(*words, cwd=tmp_path, env=trusting)
        assert done.code == 5 and f"docker login {host}" in done.err
        logged_in = {**trusting, **docker_login(tmp_path, host)}
        done = call(*words, "-v", cwd=tmp_path, env=logged_in)
        assert done.code == 0 and LOGIN[1] not in done.out + done.err, done.err
        pull = ["pull", f"oci://{host}/acme/churn", "--store", "there"]
        assert call(*pull, cwd=tmp_path, env=logged_in).code == 0
        helper = tmp_path / "docker-credential-vault"
        answer = json.dumps({"Username": LOGIN[0], "Secret": LOGIN[1]})
        helper.write_text(f"#!/bin/sh\ncat >/dev/null\necho '{answer}'\n")
        helper.chmod(0o755)
        (tmp_path / "config.json").write_text('{"credsStore": "vault"}')
        path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
        assert call(*pull, cwd=tmp_path, env={**logged_in, "PATH": path}).code == 0
    for file in (store.rglob("*"), (tmp_path / "there").rglob("*")):
        assert not any(LOGIN[1].encode() in path.read_bytes() for path in file if path.is_file())
