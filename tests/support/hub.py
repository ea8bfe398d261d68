"""The part of Hugging Face's Hub that uploads of models use, as strict as the Hub's own.

It has no Xet storage, so the client needs HF_HUB_DISABLE_XET. Its checks and responses come from
the requests of `huggingface_hub` 2.4, the responses that the client handles,
https://huggingface.co/docs/hub/api, and from git-lfs's docs/api/batch.md and basic-transfers.md.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.json_server import JsonHandler

LFS_TYPE = "application/vnd.git-lfs+json"
LFS_SUFFIXES = (".onnx", ".bin", ".npz", ".pkl", ".pt", ".zip", ".safetensors", ".skops")
LICENSES = {"apache-2.0", "mit", "bsd-3-clause", "cc-by-4.0", "gpl-3.0", "other", "unknown"}
"""Some of the identifiers that the Hub accepts."""
MAX_REGULAR = 10 << 20
_NAME = r"[A-Za-z0-9][\w.-]{0,95}"
_MODEL = re.compile(rf"/api/models/({_NAME}/{_NAME})(?:/(revision|preupload|commit)/([^/]+))?")
_LFS = re.compile(rf"/({_NAME}/{_NAME})\.git/info/lfs/(objects/batch|verify)")


class Repository:
    """A repository of a model with one branch."""

    def __init__(self, private: bool) -> None:
        self.private = private
        self.files: dict[str, bytes] = {".gitattributes": b"*.onnx filter=lfs diff=lfs merge=lfs\n"}
        self.messages = ["initial commit"]
        self.head = secrets.token_hex(20)


class Hub:
    """The repositories and stored objects of a Hub, and the tokens that may use it."""

    def __init__(self) -> None:
        self.users = {"hf_writes": "acme", "hf_reads": "acme", "hf_other": "other"}
        self.read_only = {"hf_reads"}
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.uploads: dict[str, tuple[str, int]] = {}
        """The digest and the size that each signed URL of the storage accepts."""
        self.requests: list[tuple[str, str]] = []
        self.fails: dict[str, tuple[int, dict[str, str], bytes]] = {}
        """Wrong responses to send, by the end of the path."""
        self.url = ""


class Refused(Exception):
    """A request that the Hub refuses."""

    def __init__(self, status: int, message: str, code: str | None = None, **fields: Any) -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code
        self.fields = fields


class _Handler(JsonHandler):
    hub: Hub

    def _serve(self) -> None:
        self.hub.requests.append((self.command, self.path))
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        for suffix, (status, headers, content) in self.hub.fails.items():
            if self.path.partition("?")[0].endswith(suffix):
                return self.answer(status, content, headers)
        try:
            self.answer_json(200, self._result(data))
        except Refused as error:
            headers = {"X-Error-Message": error.message}
            if error.code:
                headers["X-Error-Code"] = error.code
            self.answer_json(error.status, {"error": error.message, **error.fields}, headers)

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815

    def _result(self, data: bytes) -> Any:
        path = urlsplit(self.path).path
        if self.command == "PUT" and path.startswith("/storage/"):
            return self._store(data)
        user = self._user()
        if (self.command, path) == ("GET", "/api/whoami-v2"):
            return {"type": "user", "name": user}
        if (self.command, path) == ("POST", "/api/repos/create"):
            return self._create(user, _parsed(data))
        if (self.command, path) == ("POST", "/api/validate-yaml"):
            return _validated(_parsed(data)["content"])
        if match := _MODEL.fullmatch(path):
            name, action, revision = match.groups()
            repository = self._repository(name, user)
            if revision not in (None, "main"):
                raise Refused(404, "Invalid rev id", "RevisionNotFound")
            if self.command == "GET" and action in (None, "revision"):
                return _info(name, repository)
            if self.command == "POST" and action == "preupload":
                return _preupload(repository, _parsed(data)["files"])
            if self.command == "POST" and action == "commit":
                self._check_may_write(name, user)
                return self._commit(name, repository, data=data)
        if self.command == "POST" and (match := _LFS.fullmatch(path)):
            name, action = match.groups()
            self._repository(name, user)
            self._check_may_write(name, user)
            return self._batch(name, data) if action.endswith("batch") else self._verified(data)
        raise Refused(404, "Sorry, we can't find the page you are looking for.")

    def _user(self) -> str:
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if not token:
            raise Refused(401, "Invalid username or password.")
        if scheme != "Bearer" or token not in self.hub.users:
            raise Refused(401, "Invalid credentials in Authorization header")
        return self.hub.users[token]

    def _check_may_write(self, name: str, user: str) -> None:
        token = self.headers["Authorization"].partition(" ")[2]
        if token in self.hub.read_only or name.partition("/")[0] != user:
            raise Refused(403, "You don't have the rights to write to this repository")

    def _repository(self, name: str, user: str) -> Repository:
        repository = self.hub.repositories.get(name)
        if repository is None or (repository.private and name.partition("/")[0] != user):
            raise Refused(404, "Repository not found", "RepoNotFound")
        return repository

    def _create(self, user: str, body: dict[str, Any]) -> Any:
        if set(body) - {"name", "organization", "type", "visibility", "private"}:
            raise Refused(400, "unrecognized keys")
        name = f"{body.get('organization') or user}/{body['name']}"
        if not re.fullmatch(f"{_NAME}/{_NAME}", name) or name.endswith(".git"):
            raise Refused(400, "Invalid repo name")
        self._check_may_write(name, user)
        if name in self.hub.repositories:
            message = "You already created this model repo"
            raise Refused(409, message, url=f"{self.hub.url}/{name}")
        private = body.get("visibility") == "private" or body.get("private") is True
        self.hub.repositories[name] = Repository(private)
        return {"url": f"{self.hub.url}/{name}", "name": name, "id": secrets.token_hex(12)}

    def _batch(self, name: str, data: bytes) -> Any:
        if not self.headers.get("Content-Type", "").startswith(LFS_TYPE):
            raise Refused(415, "Invalid content type")
        body = _parsed(data)
        if body.get("operation") != "upload" or body.get("hash_algo", "sha256") != "sha256":
            raise Refused(400, "Invalid batch")
        if "basic" not in body.get("transfers", ["basic"]):
            raise Refused(400, "No transfer in common")
        objects = []
        for item in body["objects"]:
            oid, size = item["oid"], item["size"]
            if not re.fullmatch("[0-9a-f]{64}", oid) or type(size) is not int or size < 1:
                raise Refused(422, "Invalid object")
            answer = {"oid": oid, "size": size}
            if oid not in self.hub.objects:
                key = secrets.token_urlsafe(24)
                self.hub.uploads[key] = (oid, size)
                verify = {"href": f"{self.hub.url}/{name}.git/info/lfs/verify"}
                upload = {"href": f"{self.hub.url}/storage/{oid}?signature={key}"}
                answer |= {"actions": {"upload": upload, "verify": verify}}
            objects.append(answer)
        return {"transfer": "basic", "objects": objects}

    def _store(self, data: bytes) -> Any:
        if self.headers.get("Authorization"):  # the storage belongs to another company
            raise Refused(400, "Only one auth mechanism allowed")
        address = urlsplit(self.path)
        key = parse_qs(address.query).get("signature", [""])[0]
        oid, size = self.hub.uploads.get(key, ("", 0))
        if address.path != f"/storage/{oid}":
            raise Refused(403, "SignatureDoesNotMatch")
        if len(data) != size or hashlib.sha256(data).hexdigest() != oid:
            raise Refused(400, "BadDigest")
        del self.hub.uploads[key]
        self.hub.objects[oid] = data
        return {}

    def _verified(self, data: bytes) -> Any:
        body = _parsed(data)
        if len(self.hub.objects.get(body["oid"], b"")) != body["size"]:
            raise Refused(404, "Object was not uploaded")
        return {}

    def _commit(self, name: str, repository: Repository, *, data: bytes) -> Any:
        if self.headers.get("Content-Type") != "application/x-ndjson":
            raise Refused(415, "Expected application/x-ndjson")
        header, *operations = [_parsed(line) for line in data.splitlines() if line]
        if header["key"] != "header" or not header["value"].get("summary"):
            raise Refused(400, "The first line must be the header, with a summary")
        if header["value"].get("parentCommit", repository.head) != repository.head:
            raise Refused(412, "A commit has happened since. Please refresh and try again.")
        files, touched = dict(repository.files), set()
        for operation in operations:
            key, value = operation["key"], operation["value"]
            path = value["path"]
            if path in touched or not re.fullmatch(r"(?!/)(?!.*(^|/)\.\.?(/|$)).+", path):
                raise Refused(400, f"Invalid path {path}")
            touched.add(path)
            if key == "deletedFile":
                if files.pop(path, None) is None:
                    raise Refused(404, "A file with this name doesn't exist", "EntryNotFound")
            elif key == "file":
                content = base64.b64decode(value["content"], validate=True)
                if _is_large(path, len(content)) and content:
                    raise Refused(400, f"Your push was rejected: {path} must be in LFS")
                files[path] = content
            elif key == "lfsFile":
                content = self.hub.objects.get(value["oid"])
                if content is None or value["algo"] != "sha256" or value["size"] != len(content):
                    raise Refused(400, f"LFS pointer pointed to a file that does not exist: {path}")
                files[path] = content
            else:
                raise Refused(400, f"Unknown operation {key}")
        if not operations:
            raise Refused(400, "No files have been modified since last commit")
        if "README.md" in touched:
            _validated(files.get("README.md", b"").decode())
        repository.files = files
        repository.head = secrets.token_hex(20)
        repository.messages.append(header["value"]["summary"])
        url = f"{self.hub.url}/{name}/commit/{repository.head}"
        return {"success": True, "commitOid": repository.head, "commitUrl": url, "hookOutput": ""}


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        raise Refused(400, "Invalid JSON") from None


def _info(name: str, repository: Repository) -> Any:
    return {
        "id": name, "modelId": name, "private": repository.private, "sha": repository.head,
        "siblings": [{"rfilename": path} for path in sorted(repository.files)],
    }  # fmt: skip


def _is_large(path: str, size: int) -> bool:
    return path.endswith(LFS_SUFFIXES) or size > MAX_REGULAR


def _preupload(repository: Repository, files: list[dict[str, Any]]) -> Any:
    answers = []
    for file in files:
        if len(base64.b64decode(file["sample"], validate=True)) > 512 or file["size"] < 0:
            raise Refused(400, "Invalid sample")
        answer = {"path": file["path"], "shouldIgnore": False}
        is_large = _is_large(file["path"], file["size"])
        answer["uploadMode"] = "lfs" if is_large else "regular"
        content = repository.files.get(file["path"])
        if content is not None:
            blob = b"blob %d\0%b" % (len(content), content)
            answer["oid"] = (
                hashlib.sha256(content).hexdigest() if is_large
                else hashlib.sha1(blob, usedforsecurity=False).hexdigest()
            )  # fmt: skip
        answers.append(answer)
    return {"files": answers}


def _validated(text: str) -> Any:
    """Check a card's metadata, as the Hub does before and during a commit."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    errors = []
    match = re.match(r"---\r?\n(.*?)\r?\n---\r?\n", text, re.S)
    try:
        metadata = YAML(typ="safe").load(match[1]) if match else {}
    except YAMLError as error:
        metadata, errors = {}, [str(error)]
    if "license" in metadata and metadata["license"] not in LICENSES:
        errors.append(f'"license" must be one of {sorted(LICENSES)}')
    for result in metadata.get("model-index", []):
        for run in result["results"]:
            if not {"task", "dataset", "metrics"} <= run.keys() or not run["dataset"].get("type"):
                errors.append('"model-index[0].results[0]" lacks a field')
    for name in metadata.get("datasets", []):
        if not re.fullmatch(rf"({_NAME}/)?{_NAME}", name):
            errors.append(f'"datasets[0]" with value "{name}" is not valid')
    if errors:
        fields = {"errors": [{"message": message} for message in errors], "warnings": []}
        raise Refused(400, "Invalid metadata", **fields)
    return {"errors": [], "warnings": [] if metadata else [{"message": "empty metadata"}]}


@contextmanager
def hub() -> Iterator[Hub]:
    """Serve a Hub on this machine until the block ends."""
    served = Hub()
    handler = type("Handler", (_Handler,), {"hub": served})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        served.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield served
        finally:
            server.shutdown()
