"""Uploads to Hugging Face's Hub: its real client against a stand-in for the Hub."""

import hashlib
import json
import shutil
import sys
import urllib.error
import urllib.request

import pytest
from huggingface_hub import ModelCard

import artifact_pipeline as api
from artifact_pipeline.errors import CallError
from tests.support.artifacts import variant
from tests.support.command import call
from tests.support.configs import FIXTURES
from tests.support.hub import LFS_TYPE, hub

WRITTEN = {"README.md", "interface.json", "manifest.json", "model.onnx"}


@pytest.fixture
def served(tmp_path):
    with hub() as hub_:
        yield hub_


def upload(served, artifact, tmp_path, *words, repo="acme/digits", **variables):
    env = {
        "HF_ENDPOINT": served.url, "HF_TOKEN": "hf_writes", "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0", **variables,
    }  # fmt: skip
    return call("export", artifact, "--to", "huggingface", "--repo", repo, *words,
                cwd=tmp_path, env=env)  # fmt: skip


@pytest.mark.slow
def test_an_upload_creates_the_repository_and_makes_one_commit(served, digits, tmp_path):
    done = upload(served, digits.folder, tmp_path, "--license", "mit", "--json")
    assert done.code == 0, done.err
    repository = served.repositories["acme/digits"]
    assert not repository.private
    assert repository.messages[1:] == [f"Upload digits {digits.digest[7:19]}"]
    assert done.json == {
        "digest": digits.digest, "to": "huggingface",
        "path": f"{served.url}/acme/digits/commit/{repository.head}",
    }  # fmt: skip
    assert repository.files.keys() >= WRITTEN
    api.export(digits.folder, "huggingface", output=tmp_path / "hub", license_id="mit")
    for path in (tmp_path / "hub").iterdir():
        assert repository.files[path.name] == path.read_bytes()
    assert ModelCard(repository.files["README.md"].decode()).data.license == "mit"


@pytest.mark.slow
def test_the_second_upload_of_an_artifact_makes_no_commit(served, digits, tmp_path):
    assert upload(served, digits.folder, tmp_path).code == 0
    head = served.repositories["acme/digits"].head
    done = upload(served, digits.folder, tmp_path)
    assert (done.code, done.err) == (0, "")
    address = f"{served.url}/acme/digits/commit/{head}"
    assert done.out == f"no change to {address}: {digits.digest[7:19]}\n"
    assert upload(served, digits.folder, tmp_path, "--json").json["changed"] is False
    assert len(served.repositories["acme/digits"].messages) == 2


@pytest.mark.slow
def test_another_artifact_replaces_only_the_files_of_exports(served, digits, tmp_path):
    assert upload(served, digits.folder, tmp_path).code == 0
    repository = served.repositories["acme/digits"]
    repository.files |= {"own.txt": b"mine", "model_train.pkl": b"mine"}
    done = upload(served, FIXTURES / "version-1-skops", tmp_path)
    assert done.code == 0, done.err
    assert set(repository.files) == {
        ".gitattributes", "README.md", "manifest.json", "model.skops", "own.txt",
        "model_train.pkl",
    }  # fmt: skip


@pytest.mark.slow
def test_a_private_repository_is_created_and_a_public_one_is_refused(served, digits, tmp_path):
    assert upload(served, digits.folder, tmp_path, "--private").code == 0
    assert served.repositories["acme/digits"].private
    assert upload(served, digits.folder, tmp_path, repo="acme/open").code == 0
    head = served.repositories["acme/open"].head
    done = upload(served, digits.folder, tmp_path, "--private", repo="acme/open")
    assert done.code == 2 and "acme/open: exists and is public" in done.err
    assert served.repositories["acme/open"].head == head


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"HF_TOKEN": ""}, "not logged in; set HF_TOKEN, or log in with: hf auth login"),
        ({"HF_TOKEN": "hf_nobodys"}, "the Hub returned 401 Invalid credentials"),
        ({"HF_TOKEN": "hf_reads"}, "use a token that may write to this repository"),
        ({"HF_TOKEN": "hf_other"}, "use a token that may write to this repository"),
        ({"HF_TOKEN": "hf_nobod\x01ys"}, "the token contains an invalid character"),
        ({"HF_TOKEN": "hf_nobodyé"}, "the token contains an invalid character"),
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set"),
        ({"HF_ENDPOINT": "http://user:secret@127.0.0.1:1"}, "Connection refused"),
        ({"HF_ENDPOINT": "http://[::1"}, "is not an http or https address"),
        ({"HF_ENDPOINT": "huggingface.co"}, "is not an http or https address"),
        ({"HF_HUB_DISABLE_XET": "0"}, "set HF_HUB_DISABLE_XET=1"),
    ],
)
def test_an_upload_that_cannot_be_is_one_line(served, digits, tmp_path, variables, message):
    done = upload(served, digits.folder, tmp_path, **variables)
    assert done.code == 5 and message in done.err
    assert len(done.err.splitlines()) == 1 and done.out == ""
    assert "hf_nobod" not in done.err and "secret" not in done.err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "status", "content"),
    [("create", 500, b"<html>"), ("create", 200, b""), ("models/acme/digits", 200, b"[]"),
     ("validate-yaml", 200, b"[]"), ("preupload/main", 200, b"{}"), ("objects/batch", 200, b"[]"),
     ("commit/main", 503, b"{}"), ("commit/main", 200, b"{}")],
)  # fmt: skip
def test_a_hub_that_answers_nonsense_is_one_line(served, digits, tmp_path, path, status, content):
    served.fails = {path: (status, {"X-Error-Message": "hf_writes \x1b[2J"}, content)}
    done = upload(served, digits.folder, tmp_path)
    assert done.code == 5 and len(done.err.splitlines()) == 1
    assert "hf_writes" not in done.err and "\x1b" not in done.err
    assert all(len(one.messages) == 1 for one in served.repositories.values())


@pytest.mark.slow
def test_a_licence_that_the_hub_does_not_know_is_refused_in_one_line(served, digits, tmp_path):
    done = upload(served, digits.folder, tmp_path, "--license", "my-own")
    assert done.code == 5 and '"license" must be one of' in done.err
    assert len(done.err.splitlines()) == 1
    assert len(served.repositories["acme/digits"].messages) == 1


@pytest.mark.slow
@pytest.mark.parametrize("text", ["---\nlicense: mit\n---", "a@b.org <b>x</b> | `y` [z](http://z)"])
def test_the_hub_accepts_a_card_with_hostile_text(served, digits, tmp_path, text):
    artifact = tmp_path / "hostile"
    artifact.mkdir()
    for name, data in variant(digits.folder, text, description=text).items():
        (artifact / name).write_bytes(data)
    assert upload(served, artifact, tmp_path).code == 0


@pytest.mark.slow
def test_the_login_of_hf_auth_login_is_used(served, digits, tmp_path):
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "token").write_text("hf_writes\n")
    assert upload(served, digits.folder, tmp_path, HF_TOKEN="").code == 0
    (tmp_path / "hf" / "token").write_bytes(b"\xff\xfe")
    done = upload(served, digits.folder, tmp_path, HF_TOKEN="")
    assert done.code == 5 and "log in with: hf auth login" in done.err
    assert len(done.err.splitlines()) == 1


@pytest.mark.slow
def test_an_artifact_that_a_policy_refuses_is_not_uploaded(served, digits, keys, tmp_path):
    store = shutil.copytree(digits.store, tmp_path / "artifacts")
    assert call("trust", "--public-key", keys / "ours.pub", "-s", store, cwd=tmp_path).code == 0
    done = upload(served, digits.digest, tmp_path, "-s", store)
    assert done.code == 4 and not served.requests


@pytest.mark.slow
def test_the_token_is_kept_nowhere(served, digits, tmp_path):
    assert upload(served, digits.folder, tmp_path, "-v").code == 0
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or b"hf_writes" not in path.read_bytes()


@pytest.mark.parametrize(
    "repo", ["digits", "a/b/c", "../b", "a/..", "-a/b", "a/b c", "a/b\n", "a/" + "b" * 97, "",
             "a--b/c", "https://huggingface.co/a/b"],
)  # fmt: skip
def test_a_name_that_no_repository_has_is_refused(digits, repo):
    with pytest.raises(CallError, match="expected OWNER/NAME"):
        api.export(digits.folder, "huggingface", repo=repo)


def test_options_that_contradict_each_other_are_refused(digits, tmp_path):
    with pytest.raises(CallError, match="either a repository or a folder"):
        api.export(digits.folder, "huggingface", repo="a/b", output=tmp_path / "hub")
    with pytest.raises(CallError, match="--private: needs a repository"):
        api.export(digits.folder, "huggingface", private=True)
    with pytest.raises(CallError, match="--repo: is for huggingface, not for mlflow"):
        api.export(digits.folder, "mlflow", repo="a/b")


def test_without_the_client_the_package_to_install_is_named(digits, tmp_path):
    (tmp_path / "huggingface_hub.py").write_text("raise ImportError('not here')")
    code = ("import sys; sys.path.insert(0, sys.argv[1]); import artifact_pipeline as api;"
            "api.export(sys.argv[2], 'huggingface', repo='a/b')")  # fmt: skip
    import subprocess

    from tests.support.command import environment

    done = subprocess.run([sys.executable, "-c", code, tmp_path, digits.folder],
                          env=environment(), capture_output=True, text=True)  # fmt: skip
    assert "MissingDependency" in done.stderr and "pip install huggingface_hub" in done.stderr


# The stand-in refuses what the Hub refuses.


def request(served, method, path, content=None, *, token="hf_writes", content_type=None):
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    headers = {"Content-Type": content_type or "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    address = path if path.startswith("http") else served.url + path
    asked = urllib.request.Request(address, data, headers, method=method)
    try:
        with urllib.request.urlopen(asked) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def commit(served, *operations, parent=None, **options):
    header = {"summary": "x", **({"parentCommit": parent} if parent else {})}
    lines = [{"key": "header", "value": header}, *operations]
    content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    options = {"content_type": "application/x-ndjson", **options}
    return request(served, "POST", "/api/models/acme/m/commit/main", content, **options)


def file(path="a.txt", content="eA=="):
    return {"key": "file", "value": {"path": path, "content": content, "encoding": "base64"}}


def large(content=b"onnx", **values):
    oid = hashlib.sha256(content).hexdigest()
    value = {"path": "m.onnx", "algo": "sha256", "oid": oid, "size": len(content), **values}
    return {"key": "lfsFile", "value": value}


@pytest.fixture
def repository(served):
    body = {"name": "m", "organization": "acme"}
    assert request(served, "POST", "/api/repos/create", body)[0] == 200
    return served.repositories["acme/m"]


def test_the_stand_in_knows_its_tokens(served, repository):
    for token, status in ((None, 401), ("hf_wrong", 401), ("hf_reads", 403), ("hf_other", 403)):
        assert commit(served, file(), token=token)[0] == status
        body = {"name": "n", "organization": "acme"}
        assert request(served, "POST", "/api/repos/create", body, token=token)[0] == status
    assert list(served.repositories) == ["acme/m"] and len(repository.messages) == 1


def test_the_stand_in_takes_only_commits_that_the_hub_takes(served, repository):
    assert commit(served)[0] == 400
    assert commit(served, file(), content_type="application/json")[0] == 415
    assert commit(served, file(), parent="0" * 40)[0] == 412
    assert commit(served, file("../a.txt"))[0] == 400
    assert commit(served, file(), file())[0] == 400
    assert commit(served, file("m.onnx"))[0] == 400
    assert commit(served, {"key": "deletedFile", "value": {"path": "gone"}})[0] == 404
    card = "LS0tCmxpY2Vuc2U6IG1pbmUKLS0tCg=="  # license: mine
    assert commit(served, file("README.md", card))[0] == 400
    assert len(repository.messages) == 1
    assert commit(served, file(), parent=repository.head)[0] == 200
    assert request(served, "GET", "/api/models/acme/none")[0] == 404


def test_the_stand_in_takes_a_large_file_only_after_its_bytes(served, repository):
    assert commit(served, large())[0] == 400
    batch = {"operation": "upload", "transfers": ["basic"], "hash_algo": "sha256",
             "objects": [{"oid": large()["value"]["oid"], "size": 4}]}  # fmt: skip
    path = "/acme/m.git/info/lfs/objects/batch"
    assert request(served, "POST", path, batch)[0] == 415
    assert request(served, "POST", path, batch, content_type=LFS_TYPE, token="hf_reads")[0] == 403
    status, answer = request(served, "POST", path, batch, content_type=LFS_TYPE)
    assert status == 200
    actions = answer["objects"][0]["actions"]
    href = actions["upload"]["href"]
    assert request(served, "PUT", href, b"onnx")[0] == 400  # with a token
    assert request(served, "PUT", href, b"onnX", token=None)[0] == 400
    assert request(served, "PUT", href.partition("?")[0], b"onnx", token=None)[0] == 403
    assert request(served, "POST", actions["verify"]["href"], batch["objects"][0])[0] == 404
    assert commit(served, large())[0] == 400
    assert request(served, "PUT", href, b"onnx", token=None)[0] == 200
    assert request(served, "POST", actions["verify"]["href"], batch["objects"][0])[0] == 200
    assert commit(served, large(size=5))[0] == 400
    assert commit(served, large())[0] == 200
    assert repository.files["m.onnx"] == b"onnx"
