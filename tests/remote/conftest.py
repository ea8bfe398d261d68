"""Remotes of each kind, and stores to push from and to pull into."""

import shutil

import pytest

from tests.support.remotes import registry, s3

needs_registry = pytest.mark.skipif(
    shutil.which("docker-registry") is None,
    reason="docker-registry is not installed: apt-get install docker-registry",
)


@pytest.fixture(scope="session")
def s3_environment():
    with s3() as environment:
        yield environment


@pytest.fixture(scope="session")
def registry_host(tmp_path_factory):
    with registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.fixture(params=["folder", "s3", pytest.param("oci", marks=needs_registry)])
def remote(request, tmp_path, monkeypatch):
    """The address of an empty remote; the process has the environment of its client."""
    if request.param == "folder":
        return (tmp_path / "shared folder").as_uri()
    if request.param == "oci":
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "no-docker"))
        return f"oci://{request.getfixturevalue('registry_host')}/tests/{tmp_path.name.lower()}"
    for name, value in request.getfixturevalue("s3_environment").items():
        monkeypatch.setenv(name, value)
    return f"s3://models/{tmp_path.name}"


@pytest.fixture
def store(digits, tmp_path):
    """A store with the digits artifact, to push from."""
    return shutil.copytree(digits.store, tmp_path / "here")


@pytest.fixture
def elsewhere(tmp_path):
    """The store of another machine."""
    return tmp_path / "there"
