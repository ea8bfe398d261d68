"""Credentials that a service refuses: it checks signatures, and the secret is not printed."""

import base64

import pytest

from tests.remote.conftest import needs_azurite, needs_rclone
from tests.support.command import call

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
