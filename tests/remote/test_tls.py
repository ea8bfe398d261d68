"""TLS: a certificate that no known authority signed is refused."""

from tests.support.command import call
from tests.support.remotes import certificates, s3


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
