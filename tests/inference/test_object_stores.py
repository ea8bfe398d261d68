"""Rows and predictions in Google Cloud Storage and Azure, on servers of this machine.

Azurite is Microsoft's and checks signatures. fake-gcs-server has Google's JSON API and checks no
credentials. S3 is in test_infer_files.
"""

import base64
import hmac
import json
import shutil
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import urlencode

import pytest

import artifact_pipeline as api
from artifact_pipeline.builder.data import remote_files
from artifact_pipeline.errors import NetworkError
from tests.inference.test_infer_files import CONFIG, make_table, scored, write
from tests.support.command import call
from tests.support.remotes import azurite, google_json

__all__ = ["scored"]  # the fixture

needs_azurite = pytest.mark.skipif(
    shutil.which("azurite-blob") is None,
    reason="Azurite is not installed: npm ci --prefix .ci/azurite",
)
SERVERS = {"gs": google_json, "az": azurite}
AWAY = {
    "gs": {"STORAGE_EMULATOR_HOST": "localhost:9"},
    "az": {"AZURE_STORAGE_ENDPOINT": "http://localhost:9/devstoreaccount1"},
}
"""The variables of an endpoint where nothing listens."""


@pytest.fixture(scope="module", params=["gs", pytest.param("az", marks=needs_azurite)])
def store(request):
    """The address of a bucket, whose server the environment names."""
    with SERVERS[request.param]() as variables, pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        remote_files._store.cache_clear()
        yield f"{request.param}://models"
    remote_files._store.cache_clear()


@pytest.mark.slow
def test_predictions_in_a_store_are_the_bytes_of_those_on_disk(scored, store, tmp_path):
    _, artifact = scored
    for index in range(3):
        part = write(make_table().slice(index * 100, 100), tmp_path / "rows" / f"{index}.parquet")
        remote_files.upload(part, f"{store}/in/{index}.parquet")
    api.infer_files(artifact, tmp_path / "rows", output=tmp_path / "out")
    api.infer_files(artifact, tmp_path / "rows", output=tmp_path / "out.csv")
    done = call("infer", artifact, f"{store}/in", "--output", f"{store}/out", cwd=tmp_path)
    assert done.code == 0 and "wrote 300 predictions of" in done.out, done.err
    names = [file.url.rpartition("/")[2] for file in remote_files.find(f"{store}/out")]
    assert names == ["0.parquet", "1.parquet", "2.parquet"]
    for name in names:
        assert remote_files.read(f"{store}/out/{name}") == (tmp_path / "out" / name).read_bytes()
    api.infer_files(artifact, f"{store}/in/*.parquet", output=f"{store}/one.csv")
    assert remote_files.read(f"{store}/one.csv") == (tmp_path / "out.csv").read_bytes()
    remote_files.upload(write(make_table(50), tmp_path / "a.csv"), f"{store}/rows/a.csv")
    api.infer_files(artifact, f"{store}/rows/a.csv", output=tmp_path / "a.out.csv")
    api.infer_files(artifact, tmp_path / "a.csv", output=tmp_path / "b.out.csv")
    assert (tmp_path / "a.out.csv").read_bytes() == (tmp_path / "b.out.csv").read_bytes()


@pytest.mark.slow
def test_a_run_reads_its_table_from_a_store(scored, store, tmp_path):
    folder, _ = scored
    local = api.train(folder / "config.json", store=tmp_path / "local")
    remote_files.upload(folder / "train.csv", f"{store}/tables/train.csv")
    config = {**CONFIG, "data": {**CONFIG["data"], "path": f"{store}/tables/train.csv"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    done = call("run", "config.json", cwd=tmp_path)
    assert done.code == 0 and local.digest.removeprefix("sha256:")[:12] in done.out, done.err
    for path in (f"{store}/tables/none.csv", f"{store.removesuffix('models')}none/train.csv"):
        config["data"]["path"] = path
        (tmp_path / "config.json").write_text(json.dumps(config))
        done = call("run", "config.json", cwd=tmp_path)
        assert done.code == 3 and f"{path}: no such file" in done.err


@pytest.mark.slow
def test_what_a_store_lacks_is_an_error_in_one_line(scored, store, tmp_path):
    _, artifact = scored
    write(make_table(10), tmp_path / "rows.csv")
    none = f"{store.removesuffix('models')}none"
    away = AWAY[store.partition(":")[0]]
    cases = [
        ((f"{store}/none.csv", "-o", "out.csv"), {}, 2, "/none.csv: no such file or folder"),
        ((f"{store}/none/*.csv", "-o", "out.csv"), {}, 2, "no such file or folder"),
        ((f"{none}/rows.csv", "-o", "out.csv"), {}, 2, "no such file or folder"),
        (("rows.csv", "-o", f"{none}/out.csv"), {}, 5, "the bucket or container does not exist"),
        ((f"{store}/rows.csv", "-o", "out.csv"), away, 5, "Could not connect to server"),
        (("rows.csv", "-o", f"{store}/out.csv"), away, 5, "Could not connect to server"),
    ]
    if store.startswith("az"):
        wrong = {"AZURE_STORAGE_ACCOUNT_KEY": "d3Jvbmc="}
        cases.append(((f"{store}/rows.csv", "-o", "out.csv"), wrong, 5, "403"))
        none = {"AZURE_STORAGE_ACCOUNT_NAME": ""}
        cases.append(((f"{store}/rows.csv", "-o", "out.csv"), none, 2, "set AZURE_STORAGE_ACCOUNT"))
    for words, env, code, problem in cases:
        done = call("infer", artifact, *words, cwd=tmp_path, env=env)
        assert done.code == code and problem in done.err and done.err.count("\n") == 1, done.err
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


@pytest.mark.slow
@needs_azurite
@pytest.mark.parametrize("mark", ["", "?"])
def test_azure_takes_a_shared_access_signature(monkeypatch, tmp_path, mark):
    with azurite() as variables:
        key = base64.b64decode(variables["AZURE_STORAGE_ACCOUNT_KEY"])
        account = variables["AZURE_STORAGE_ACCOUNT_NAME"]
        fields = {"sp": "rwdlac", "ss": "b", "srt": "sco", "se": "2099-01-01T00:00:00Z"}
        # https://learn.microsoft.com/rest/api/storageservices/create-account-sas
        lines = [account, fields["sp"], fields["ss"], fields["srt"], "", fields["se"]]
        text = "\n".join([*lines, "", "https,http", "2020-12-06", "", ""])
        signature = base64.b64encode(hmac.digest(key, text.encode(), "sha256")).decode()
        words = {**fields, "spr": "https,http", "sv": "2020-12-06", "sig": signature}
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", account)
        monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", variables["AZURE_STORAGE_ENDPOINT"])
        monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", mark + urlencode(words))
        monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_KEY", raising=False)
        remote_files._store.cache_clear()
        (tmp_path / "rows.csv").write_bytes(b"a,b\n")
        remote_files.upload(tmp_path / "rows.csv", "az://models/rows.csv")
        assert remote_files.read("az://models/rows.csv") == b"a,b\n"
        remote_files._store.cache_clear()


class Forbidding(BaseHTTPRequestHandler):
    """Answers as Google Cloud Storage does to an account without rights."""

    def answer(self):
        message = "tester does not have storage.objects.get access"
        body = json.dumps({"error": {"code": 403, "message": message}}).encode()
        self.send_response(403)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer  # noqa: N815  (http.server calls them)

    def log_message(self, *words):
        pass


@pytest.fixture
def google_at(monkeypatch):
    """Set the address of Google Cloud Storage."""

    def set_address(port):
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://localhost:{port}")
        remote_files._store.cache_clear()

    yield set_address
    remote_files._store.cache_clear()


def test_a_refusal_is_shown_as_the_store_words_it(google_at, tmp_path):
    with HTTPServer(("127.0.0.1", 0), Forbidding) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        google_at(server.server_port)
        with pytest.raises(NetworkError, match=r"does not have storage\.objects\.get access"):
            remote_files.stat("gs://models/rows.csv")
        remote_files.check_bucket("gs://models/out.csv")  # one may write and not look
        (tmp_path / "out.csv").write_bytes(b"a")
        with pytest.raises(NetworkError, match="PERMISSION_DENIED"):
            remote_files.upload(tmp_path / "out.csv", "gs://models/out.csv")
        server.shutdown()


def test_a_store_that_never_answers_is_given_up(google_at, monkeypatch):
    monkeypatch.setattr(remote_files, "_ANSWER_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        google_at(server.getsockname()[1])
        with pytest.raises(NetworkError, match="did not respond within 0 seconds"):
            remote_files.stat("gs://models/rows.csv")


@pytest.mark.parametrize(
    ("endpoint", "options"),
    [
        ("http://localhost:10000/shop", ("http", "localhost:10000", "localhost:10000")),
        ("https://shop.blob.core.example", ("https", ".blob.core.example", ".dfs.core.example")),
        ("shop.blob.core.example/", ("https", ".blob.core.example", ".dfs.core.example")),
    ],
)
def test_an_endpoint_of_azure_has_the_account_in_its_host_or_its_path(
    monkeypatch, endpoint, options
):
    import pyarrow.fs

    calls = []
    monkeypatch.setattr(pyarrow.fs, "AzureFileSystem", lambda **words: calls.append(words))
    for name, value in {
        "AZURE_STORAGE_ACCOUNT_NAME": "shop",
        "AZURE_STORAGE_ACCOUNT_KEY": "key",
        "AZURE_STORAGE_ENDPOINT": endpoint,
    }.items():
        monkeypatch.setenv(name, value)
    remote_files._azure("rows")
    scheme, blobs, lake = options
    assert calls == [
        {
            "account_name": "shop",
            "account_key": "key",
            "blob_storage_scheme": scheme,
            "blob_storage_authority": blobs,
            "dfs_storage_scheme": scheme,
            "dfs_storage_authority": lake,
        }
    ]
