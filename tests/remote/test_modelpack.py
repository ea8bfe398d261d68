"""What a registry holds is a ModelPack, and other tools get its files.

The allowed values are those of the specification: https://github.com/modelpack/model-spec, of which
docs/spec.md, docs/config.md and schema/config-schema.json count.
"""

import json

import httpx
import oras.client
import pytest

import artifact_pipeline as api
from artifact_pipeline.builder.canonical import digest
from artifact_pipeline.errors import VerificationError
from artifact_pipeline.remote.registry.modelpack import INDEX_TYPE, MANIFEST_TYPE
from tests.remote.conftest import needs_registry

LAYERS = {f"application/vnd.cncf.model.{kind}.v1.raw" for kind in
          ("weight", "weight.config", "doc", "code", "dataset")}  # fmt: skip
DESCRIPTOR = {"createdAt", "authors", "family", "name", "docURL", "sourceURL", "datasetsURL",
              "version", "revision", "vendor", "licenses", "title", "description"}  # fmt: skip
CONFIG = {"architecture", "format", "paramSize", "precision", "quantization", "capabilities"}

pytestmark = needs_registry


@pytest.fixture
def repository(registry_host, store, tmp_path, monkeypatch):
    """The repository that the digits artifact was pushed to."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "no-docker"))
    repository = f"{registry_host}/tests/{tmp_path.name.lower()}"
    api.push("latest", f"oci://{repository}", store=store)
    return repository


def test_the_manifest_and_its_config_follow_the_specification(repository, digits):
    host, _, name = repository.partition("/")
    base = f"http://{host}/v2/{name}"
    accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    answer = httpx.get(f"{base}/manifests/latest", headers=accept)
    manifest = answer.json()
    assert answer.headers["content-type"] == manifest["mediaType"] == accept["Accept"]
    assert manifest["artifactType"] == "application/vnd.cncf.model.manifest.v1+json"
    assert manifest["config"]["mediaType"] == "application/vnd.cncf.model.config.v1+json"
    assert {layer["mediaType"] for layer in manifest["layers"]} <= LAYERS
    files = {layer["annotations"]["org.cncf.model.filepath"]: layer for layer in manifest["layers"]}
    assert files.keys() == {path.name for path in digits.folder.iterdir()}
    for path, layer in files.items():
        data = (digits.folder / path).read_bytes()
        assert (layer["digest"], layer["size"]) == (digest(data), len(data))
    data = httpx.get(f"{base}/blobs/{manifest['config']['digest']}").content
    assert len(data) == manifest["config"]["size"]
    config = json.loads(data)
    assert config.keys() == {"descriptor", "config", "modelfs"}
    assert config["descriptor"].keys() <= DESCRIPTOR and config["descriptor"]["name"] == "digits"
    assert config["config"].keys() <= CONFIG and config["config"]["format"] == "onnx"
    assert config["config"]["precision"] in ("float32", "float64")
    layers = [layer["digest"] for layer in manifest["layers"]]
    assert config["modelfs"] == {"type": "layers", "diffIds": layers}


def test_oras_pulls_the_files(repository, digits, tmp_path):
    client = oras.client.OrasClient(insecure=True)
    assert {"latest", "1"} <= set(client.get_tags(repository))
    pulled = client.pull(target=f"{repository}:latest", outdir=str(tmp_path / "oras"))
    assert len(pulled) == len(list(digits.folder.iterdir()))
    for path in digits.folder.iterdir():
        assert (tmp_path / "oras" / path.name).read_bytes() == path.read_bytes()
    assert api.check_integrity(tmp_path / "oras").digest == digits.digest


@pytest.mark.parametrize("kind", ["index", "image"])
@pytest.mark.parametrize("tag", ["latest", "1", "champion"])
def test_a_tag_of_a_container_image_is_not_overwritten(kind, tag, repository, store):
    """Registries say that an index does not exist to a client that accepts no indexes."""
    host, _, name = repository.partition("/")
    url = f"http://{host}/v2/{name}/manifests"
    own = httpx.get(f"{url}/latest", headers={"Accept": MANIFEST_TYPE})
    if kind == "image":
        media_type, changes = MANIFEST_TYPE, {"artifactType": "application/x"}
        data = json.dumps({**own.json(), **changes}).encode()
    else:
        entry = {"mediaType": MANIFEST_TYPE, "digest": digest(own.content),
                 "size": len(own.content)}  # fmt: skip
        media_type = INDEX_TYPE
        content = {"schemaVersion": 2, "mediaType": media_type, "manifests": [entry]}
        data = json.dumps(content).encode()
    headers = {"Content-Type": media_type}
    assert httpx.put(f"{url}/{tag}", content=data, headers=headers).status_code == 201
    with pytest.raises(VerificationError, match="contains no model"):
        api.promote_remote("latest", f"oci://{repository}", store=store)
    with pytest.raises(VerificationError, match="contains no model"):
        api.pull(f"oci://{repository}:{tag}", store=store)
    assert httpx.get(f"{url}/{tag}", headers={"Accept": media_type}).content == data
